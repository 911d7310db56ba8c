"""What a reader's words prove, also in states that take three servers to make."""

from typing import Any

import pytest

from dbops.errors import RefusedError
from dbops.operations.replica.judgement import Token, grant, judged, late

TOKEN = Token("0/3000000", 2, "7300", ("then", "5432"))


def state(**differences: object) -> dict[str, Any]:
    """Describe a standby that has replayed everything."""
    return {
        "is_in_recovery": True,
        "is_replayed": True,
        "bytes_behind": 0,
        "pause_state": "not paused",
        "apply_delay_s": 0.0,
        "system_identifier": "7300",
        "known_timeline": 2,
        "started": "later",
        "port": "5433",
        "role": "app",
        "receiver_pid": 9,
        "receiver_status": "streaming",
        "received_timeline": 2,
        "conflicts": 0,
        **differences,
    }


HIDDEN = {"receiver_status": None, "received_timeline": None}
GONE = {**HIDDEN, "receiver_pid": None}


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ({}, "replayed"),
        ({"is_replayed": False}, "not_yet"),
        ({"is_replayed": None}, "not_yet"),
        ({"known_timeline": 1}, "replayed"),
        # A standby of the server that was the primary before: its position is not ours.
        ({"received_timeline": 1}, "not_yet"),
        ({**GONE, "known_timeline": 1}, "not_yet"),
        ({**GONE}, "replayed"),
        ({**HIDDEN}, "replayed"),
        ({**HIDDEN, "known_timeline": 1}, "unproved"),
        ({"is_in_recovery": False, "started": "then", "port": "5432"}, "is_writer"),
    ],
)
def test_only_a_position_on_the_writers_timeline_counts(
    differences: dict[str, object], verdict: str
) -> None:
    assert judged(TOKEN, state(**differences)) == verdict


@pytest.mark.parametrize(
    ("differences", "message"),
    [
        ({"system_identifier": "1"}, "another cluster"),
        ({"is_in_recovery": False}, "two primaries"),
        ({"received_timeline": 3}, "follows timeline 3, and the writer is on 2"),
        ({**HIDDEN, "known_timeline": 3}, "follows timeline 3"),
    ],
)
def test_a_reader_that_will_never_follow_is_refused(
    differences: dict[str, object], message: str
) -> None:
    with pytest.raises(RefusedError, match=message):
        judged(TOKEN, state(**differences))


@pytest.mark.parametrize(
    ("differences", "reason"),
    [
        ({"pause_state": "paused", "apply_delay_s": 5.0}, "its replay is paused"),
        ({**GONE}, "no WAL receiver runs"),
        ({"is_replayed": True, "received_timeline": 1}, "still on timeline 1"),
        ({"conflicts": 1}, "a query on it holds the replay back"),
        ({"apply_delay_s": 5.0}, "5 s late"),
        ({"bytes_behind": 77}, "77 bytes are missing"),
    ],
)
def test_the_reason_for_being_late_is_named(
    differences: dict[str, object], reason: str
) -> None:
    found = state(**{"is_replayed": False, **differences})
    error = late(found, TOKEN, "h:5433", 3)
    assert reason in error.message
    assert error.hint


def test_what_would_prove_more_is_a_grant() -> None:
    assert grant(state()) == "GRANT pg_read_all_stats TO app"
