"""Thresholds: what is read, what trips, and what contradicts itself."""

from collections.abc import Mapping

import pytest

from dbops.errors import UsageError
from dbops.limits import Amount, Limit, Unit, amount, amount_text, limits
from dbops.results import Status

DEFAULTS: Mapping[Unit, Limit] = {
    "s": Limit(5.0, 30.0, "s"),
    "B": Limit(None, None, "B"),
}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("500ms", (0.5, "s")),
        ("5 s", (5.0, "s")),
        ("2m", (120.0, "s")),
        ("16MB", (16 * 1024**2, "B")),
        ("1.5kB", (1536, "B")),
        ("0B", (0, "B")),
        ("80%", (80, "%")),
        ("10", (10, "")),
    ],
)
def test_an_amount_has_a_number_and_a_unit(text: str, read: tuple[float, str]) -> None:
    assert amount(text) == read
    assert amount(amount_text(*amount(text))) == read


@pytest.mark.parametrize("text", ["", "abc", "-1s", "5 parsecs", "1e3s", "5kb", "s5"])
def test_what_is_no_amount_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="unit"):
        amount(text)


def test_a_value_is_graded_against_both_thresholds() -> None:
    limit = Limit(5.0, 30.0, "s")
    statuses = [limit.graded(value) for value in (4.9, 5.0, 30.0, None)]
    assert statuses == [Status.OK, Status.WARN, Status.FAIL, Status.UNKNOWN]
    assert Limit(None, None).graded(1e300) is Status.OK


def test_what_was_said_replaces_the_default_of_its_unit_alone() -> None:
    said = limits(DEFAULTS, warn=[Amount(1024, "B")], fail=[Amount(60, "s")])
    assert said == {"s": Limit(5.0, 60.0, "s"), "B": Limit(1024, None, "B")}


def test_a_default_that_contradicts_what_was_said_gives_way() -> None:
    assert limits(DEFAULTS, warn=[], fail=[Amount(2, "s")])["s"] == Limit(2, 2, "s")
    assert limits(DEFAULTS, warn=[Amount(40, "s")], fail=[])["s"] == Limit(40, 40, "s")


@pytest.mark.parametrize(
    ("warn", "fail", "words"),
    [
        (["5%"], [], "another measure"),
        (["5"], [], "has no unit"),
        (["5s", "6s"], [], "given twice"),
        (["5s"], ["2s"], "comes after"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_a_usage_error(
    warn: list[str], fail: list[str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        limits(
            DEFAULTS,
            warn=[amount(it) for it in warn],
            fail=[amount(it) for it in fail],
        )
