"""Durations and sizes as people write them, always with a unit."""

import math
import re
from typing import Annotated

from pydantic import BeforeValidator

_NUMBER = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z]+)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_LONGEST_S = 1000 * 86400.0


def seconds(text: object) -> float:
    """Read `500ms`, `5s`, `2m`, `1h` or `1d` as seconds.

    Raises:
        ValueError: If there is no number, no unit that dbops knows, or more than 1000
            days.
    """
    return _sane(_scaled(text, _SECONDS, "500ms, 5s or 2m"))


def size_bytes(text: object) -> int:
    """Read `16MB` as bytes, with the units of postgresql.conf (1 kB = 1024 bytes).

    Raises:
        ValueError: If there is no number, or no unit that PostgreSQL knows.
    """
    return round(_scaled(text, _BYTES, "512kB, 16MB or 1GB"))


def _scaled(text: object, units: dict[str, float] | dict[str, int], say: str) -> float:
    match = _NUMBER.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"write it with a unit, such as {say}")
    return float(match[1]) * units[match[2]]


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


def _seconds_or_number(value: object) -> float:
    """Let the library give a number of seconds, and everybody else text with a unit."""
    return _sane(value) if isinstance(value, float) else seconds(value)


Seconds = Annotated[float, BeforeValidator(_seconds_or_number)]
"""A duration in seconds; read from text with a unit, or given as a float."""

Size = Annotated[
    int,
    BeforeValidator(lambda value: value if type(value) is int else size_bytes(value)),
]
"""A size in bytes; read from text with a unit, or given as an int."""
