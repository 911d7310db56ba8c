"""Durations as people write them, always with a unit."""

import math
import re
from typing import Annotated

from pydantic import BeforeValidator

_NUMBER = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z]+)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_S = 1000 * 86400.0


def seconds(text: object) -> float:
    """Read `500ms`, `5s`, `2m`, `1h` or `1d` as seconds.

    Raises:
        ValueError: If there is no number, no unit that dbops knows, or more than 1000
            days.
    """
    match = _NUMBER.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or match[2] not in _SECONDS:
        raise ValueError("write it with a unit, such as 500ms, 5s or 2m")
    return _sane(float(match[1]) * _SECONDS[match[2]])


def _sane(value_s: float) -> float:
    if not (math.isfinite(value_s) and 0 <= value_s <= _LONGEST_S):
        raise ValueError("a duration lies between 0s and 1000d")
    return value_s


def duration_text(value_s: float) -> str:
    """Write seconds as `5s` or `500ms`, the way an option takes them."""
    if value_s >= 1 or value_s == 0:
        return f"{_plain(value_s)}s"
    return f"{_plain(value_s * 1000)}ms"


def _plain(number: float) -> str:
    """Write a number without an exponent, which `seconds` would not read."""
    return f"{number:.6f}".rstrip("0").rstrip(".")


def seconds_or_number(value: object) -> float:
    """Let the library give a number of seconds, and everybody else text with a unit.

    Raises:
        ValueError: As `seconds`.
    """
    return _sane(value) if isinstance(value, float) else seconds(value)


Seconds = Annotated[float, BeforeValidator(seconds_or_number)]
"""A duration in seconds; read from text with a unit, or given as a float."""
