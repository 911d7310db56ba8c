"""How is it said: colours, numbers, times, names?"""

from datetime import UTC, datetime
from typing import NamedTuple

from rich.text import Text

from dbops.cli.render import safe

_COLOURS = {
    "ok": "green",
    "up": "green",
    "warn": "yellow",
    "fail": "bold red",
    "away": "bold red",
    "unknown": "magenta",
    "late": "magenta",
}
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


class Looks(NamedTuple):
    """What stays the same from one picture to the next."""

    target: str
    """What is watched."""
    leave: str
    """How to leave."""
    is_plain: bool
    """Whether the terminal has ASCII only."""


def line(*parts: object, style: str = "") -> Text:
    """Join what is not empty, two blanks apart; nothing in it is read as markup."""
    found = [it if isinstance(it, Text) else plain(it) for it in parts]
    joined = Text("  ").join([it for it in found if it.plain])
    joined.stylize(style)
    return joined


def plain(value: object, style: str = "") -> Text:
    """Return a value as text that cannot drive a terminal; None is empty."""
    return Text("" if value is None else safe(str(value)), style=style)


def word(status: object) -> Text:
    """Return a status in its colour."""
    return Text(str(status), style=_COLOURS.get(str(status), ""))


def clock(when: datetime) -> str:
    """Return the time of a day, in UTC."""
    return f"{when.astimezone(UTC):%H:%M:%S}Z"


def age(value_s: float | None) -> str:
    """Return how long something has lasted, in few characters."""
    if value_s is None:
        return "?"
    if value_s < 1:
        return f"{value_s * 1000:.3g} ms" if value_s >= 0.001 else "0 ms"  # noqa: PLR2004 # a millisecond
    if value_s < _MINUTE_S:
        return f"{value_s:.1f} s"
    whole_s = round(value_s)
    if value_s < _HOUR_S:
        return f"{whole_s // _MINUTE_S} min {whole_s % _MINUTE_S:02} s"
    if value_s < _DAY_S:
        return f"{whole_s // _HOUR_S} h {whole_s % _HOUR_S // _MINUTE_S:02} min"
    return f"{whole_s // _DAY_S} d {whole_s % _DAY_S // _HOUR_S:02} h"
