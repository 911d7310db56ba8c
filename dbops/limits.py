"""From which value on is something bad?"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from dbops.errors import UsageError
from dbops.results import Status, grade
from dbops.units import duration_text, seconds

Unit = Literal["s", "B", "%", ""]
"""Seconds, bytes, a share of a hundred, or a count."""

# PostgreSQL's own units: powers of 1024.
# https://www.postgresql.org/docs/current/config-setting.html
_BYTES = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_NUMBER = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z%]*)")
_NEVER = float("inf")


class Amount(NamedTuple):
    """A number and what it counts."""

    value: float
    unit: Unit


def amount(text: str) -> Amount:
    """Read `500ms`, `5s`, `16MB`, `80%` or `1000`.

    Raises:
        ValueError: If it is none of these.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise ValueError("write a number with a unit, such as 5s, 16MB or 80%")
    number, unit = float(match[1]), match[2]
    if unit in _BYTES:
        return Amount(number * _BYTES[unit], "B")
    if unit in ("%", ""):
        return Amount(number, "%" if unit else "")
    return Amount(seconds(text), "s")


def amount_text(value: float, unit: Unit) -> str:
    """Write an amount the way that `amount` reads it."""
    if unit == "s":
        return duration_text(value)
    if unit != "B":
        return f"{value:g}{unit}"
    for name in reversed(_BYTES):
        if value >= _BYTES[name]:
            return f"{value / _BYTES[name]:.4g}{name}"
    return f"{value:g}B"


class Limit(NamedTuple):
    """The two thresholds of one measure; None is never reached."""

    warn: float | None
    fail: float | None
    unit: Unit = ""

    def graded(self, value: float | None) -> Status:
        """Judge a value of the limit's unit; None is unknown."""
        warn = _NEVER if self.warn is None else self.warn
        return grade(value, warn=warn, fail=_NEVER if self.fail is None else self.fail)


def limits(
    defaults: Mapping[Unit, Limit], *, warn: Sequence[Amount], fail: Sequence[Amount]
) -> dict[Unit, Limit]:
    """Put what the user said in the place of the defaults, unit by unit.

    A default that would contradict what was said gives way.

    Args:
        defaults: The units that make sense here.
        warn: The values of `--warn`.
        fail: The values of `--fail`.

    Raises:
        UsageError: If a unit makes no sense here, is given twice, or if something
            would fail before it warns.
    """
    warned, failed = (
        _by_unit(defaults, warn, "--warn"),
        _by_unit(defaults, fail, "--fail"),
    )
    return {
        unit: _limit(default, warned.get(unit), failed.get(unit))
        for unit, default in defaults.items()
    }


def _by_unit(
    known: Iterable[Unit], amounts: Sequence[Amount], option: str
) -> dict[Unit, float]:
    said: dict[Unit, float] = {}
    for value, unit in amounts:
        if unit not in known or unit in said:
            why = "has no unit" if unit == "" else "has a unit of another measure"
            raise UsageError(
                f"{option} {amount_text(value, unit)} "
                + ("is given twice" if unit in said else why),
                hint=f"one of each of: {', '.join(_EXAMPLES[it] for it in known)}",
            )
        said[unit] = value
    return said


_EXAMPLES: Mapping[Unit, str] = {"s": "5s", "B": "16MB", "%": "80%", "": "10"}


def _limit(default: Limit, warn: float | None, fail: float | None) -> Limit:
    if warn is not None and fail is not None and warn > fail:
        unit = default.unit
        raise UsageError(
            f"--warn {amount_text(warn, unit)} comes after "
            f"--fail {amount_text(fail, unit)}",
            hint="let it warn before it fails",
        )
    low = default.warn if warn is None else warn
    high = default.fail if fail is None else fail
    if low is not None and high is not None and low > high:
        low, high = (high, high) if warn is None else (low, low)
    return Limit(low, high, default.unit)
