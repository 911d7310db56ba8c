"""How what was seen of a reader is judged, also what takes a minute to happen."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dbops.limits import Limit
from dbops.operations.lag import Cause, Freshness, Node, Pipeline
from dbops.operations.lag.flow import flow
from dbops.operations.lag.identity import decided
from dbops.operations.lag.judgement import Bounds, bounded, graded, is_uncertain
from dbops.operations.lag.missing import Missing
from dbops.operations.lag.waiting import Look, Observed
from dbops.operations.replica.judgement import Token
from dbops.results import Status

TOKEN = Token("0/3000000", 2, "7300", ("then", "5432"))
READER = Node(host="h", port=5433, is_in_recovery=True)
LIMIT = Limit(5, 30, "s")
HIDDEN: dict[str, Any] = {"receiver_status": None, "received_timeline": None}
GONE = {**HIDDEN, "receiver_pid": None}


def state(**differences: object) -> dict[str, Any]:
    """Describe a standby that has replayed everything."""
    return {
        "is_in_recovery": True,
        "is_replayed": True,
        "bytes_behind": 0,
        "bytes_unreceived": 0,
        "pause_state": "not paused",
        "apply_delay_s": 0.0,
        "receiver_timeout_s": 60.0,
        "system_identifier": "7300",
        "known_timeline": 2,
        "started": "later",
        "port": "5433",
        "role": "app",
        "has_archive": False,
        "is_archive_only": False,
        "receiver_pid": 9,
        "receiver_status": "streaming",
        "received_timeline": 2,
        "silent_s": 1.0,
        "conflicts": 0,
        **differences,
    }


def look(waited_s: float = 0.0, **differences: object) -> Look:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Look(state(**differences), waited_s + 0.1, waited_s, 0.01, at)


def seen(last: Look, lacks: Missing | None = None) -> Observed:
    return Observed(last, last, lacks, asking_s=0.5)


@pytest.mark.parametrize(
    ("differences", "pipeline", "status"),
    [
        ({}, Pipeline.STREAMING, Status.OK),
        # A healthy receiver of an idle writer is silent for half of its time-out.
        ({"silent_s": 31.0}, Pipeline.STREAMING, Status.OK),
        ({"silent_s": 61.0}, Pipeline.SILENT, Status.FAIL),
        (
            {"silent_s": 999.0, "receiver_timeout_s": 0.0},
            Pipeline.STREAMING,
            Status.OK,
        ),
        ({"receiver_status": "waiting"}, Pipeline.NOT_STREAMING, Status.WARN),
        ({**HIDDEN}, Pipeline.UNKNOWN, Status.WARN),
        ({**GONE}, Pipeline.NO_RECEIVER, Status.FAIL),
        # What replays nothing and receives nothing is worse than what is paused.
        ({**GONE, "pause_state": "paused"}, Pipeline.NO_RECEIVER, Status.FAIL),
        ({"pause_state": "pause requested"}, Pipeline.PAUSED, Status.WARN),
        ({"apply_delay_s": 6.0}, Pipeline.DELAYED, Status.WARN),
        ({"apply_delay_s": 1.0}, Pipeline.DELAYED, Status.OK),
        (
            {**GONE, "has_archive": True, "is_archive_only": True},
            Pipeline.ARCHIVE,
            Status.OK,
        ),
        # Whether it should have a receiver is hidden from this role.
        (
            {**GONE, "has_archive": True, "is_archive_only": None},
            Pipeline.UNKNOWN,
            Status.UNKNOWN,
        ),
    ],
)
def test_the_pipeline_is_judged_whatever_the_freshness(
    differences: dict[str, object], pipeline: Pipeline, status: Status
) -> None:
    found = flow(state(**differences), warn_s=5)
    assert (found.pipeline, found.status) == (pipeline, status)
    assert (found.requires is not None) == (pipeline is Pipeline.UNKNOWN)


def test_a_position_on_another_timeline_is_no_freshness() -> None:
    behind = {"received_timeline": 1}
    found = decided(TOKEN, look(**behind), reader=READER, require_replica=False)
    assert found is not None
    assert (found.status, found.cause) == (Status.FAIL, Cause.TIMELINE_DIVERGED)
    # Where the timeline is hidden, nobody knows.
    hidden = look(**HIDDEN, known_timeline=1)
    assert decided(TOKEN, hidden, reader=READER, require_replica=False) is None
    assert bounded(seen(hidden), TOKEN) == Bounds(Freshness.UNKNOWN)
    assert graded(Bounds(Freshness.UNKNOWN), LIMIT) is Status.UNKNOWN


def test_what_waits_behind_the_position_proves_nothing_by_itself() -> None:
    last = look(3.0, is_replayed=False)
    none = Missing(
        is_none=True, is_proved=False, age_low_s=None, age_high_s=9.0, bytes_behind=7
    )
    assert bounded(seen(last, none), TOKEN) == Bounds(Freshness.FRESH, 0.0, 0.5)
    # Some commit may be missing, and nobody knows since when.
    some = none._replace(is_none=False)
    assert bounded(seen(last, some), TOKEN) == Bounds(Freshness.APPLY_BEHIND, 0.0, 9.0)
    proved = some._replace(is_proved=True)
    assert bounded(seen(last, proved), TOKEN).low_s == 3.0
    dated = proved._replace(age_low_s=9.0)
    # Told half a second after the look.
    assert bounded(seen(last, dated), TOKEN).low_s == 8.5


def test_a_position_that_is_not_the_whole_truth_bounds_nothing() -> None:
    part = TOKEN._replace(is_all=False)
    assert bounded(seen(look()), part) == Bounds(Freshness.FRESH, 0.0, None)
    assert graded(Bounds(Freshness.FRESH, 0.0, None), LIMIT) is Status.UNKNOWN


@pytest.mark.parametrize(
    ("low_s", "high_s", "status", "doubt"),
    [
        (0.0, 4.0, Status.OK, False),
        (4.0, 6.0, Status.WARN, False),
        (6.0, 29.0, Status.WARN, False),
        (6.0, 31.0, Status.WARN, True),
        (1.0, None, Status.WARN, True),
        (30.0, None, Status.FAIL, False),
    ],
)
def test_an_interval_that_holds_a_threshold_is_a_warning(
    low_s: float, high_s: float | None, status: Status, *, doubt: bool
) -> None:
    bounds = Bounds(Freshness.APPLY_BEHIND, low_s, high_s)
    assert graded(bounds, LIMIT) is status
    assert is_uncertain(bounds, LIMIT) is doubt
