"""Durations always carry a unit."""

import math
import random

import pytest
from pydantic import TypeAdapter, ValidationError

from dbops.units import Seconds, duration_text, seconds


@pytest.mark.parametrize(
    ("text", "value_s"),
    [
        ("500ms", 0.5), ("5s", 5), ("2m", 120), ("2min", 120), ("1h", 3600),
        ("1d", 86400), ("0s", 0), ("1.5s", 1.5), (" 5 s ", 5),
    ],
)  # fmt: skip
def test_a_duration_is_read_in_seconds(text: str, value_s: float) -> None:
    assert seconds(text) == pytest.approx(value_s)


@pytest.mark.parametrize(
    "text",
    [
        "", "5", "s", "-5s", "5 parsecs", "5S", "1e3s", "5,5s", "inf", "infs", "nans",
        "5s5s", "1.s", ".5s", "9" * 15 + "d", "9" * 400 + "s", None, 5, [], b"5s",
        "\u0665s",
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"unit|between"):
        seconds(text)


def test_a_duration_is_written_as_an_option_takes_it() -> None:
    assert duration_text(5) == "5s"
    assert duration_text(0) == "0s"
    assert duration_text(0.25) == "250ms"
    assert duration_text(1234567.0) == "1234567s"


def test_every_duration_that_is_written_can_be_read() -> None:
    chance = random.Random(1)  # noqa: S311 # the same numbers every time
    for _ in range(500):
        value_s = round(10 ** chance.uniform(-3, 7), 3)
        assert seconds(duration_text(value_s)) == pytest.approx(value_s, rel=1e-6)


def test_the_library_may_give_a_number_of_seconds() -> None:
    adapter = TypeAdapter(Seconds)

    assert adapter.validate_python(2.5) == 2.5
    assert adapter.validate_python("2m") == 120


@pytest.mark.parametrize("value", [5, True, math.nan, math.inf, -1.0, None])
def test_a_number_that_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Seconds).validate_python(value)
