"""Findings as text for a person: what, where, why, and what to do instead."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from dbops.results import Model

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_COLOURS = {"warn": "yellow", "fail": "red"}
_THOUSANDS = ((10**9, "G"), (10**6, "M"), (10**3, "k"))


def are_findings(rows: Iterable[Model]) -> bool:
    """Whether these are sentences about statements, which no table has room for."""
    fields = {name for row in rows for name in type(row).model_fields}
    return {"statement", "rule", "message", "remedy"} <= fields


def listed(rows: Iterable[Any], text: Callable[[str, str], "Text"]) -> "RenderableType":
    """Return a block of lines for each finding; `text` makes words safe to show."""
    from rich.console import Group  # noqa: PLC0415 # with rich itself
    from rich.padding import Padding  # noqa: PLC0415 # same

    blocks: list[RenderableType] = []
    for row in rows:
        where = row.revision or row.path or "standard input"
        title = text(f"{row.severity}  ", _COLOURS[row.severity])
        title += text(row.rule, "bold") + text(f"  {where}:{row.line}", "")
        about = f"{row.message}{_size(row)}"
        lines = [row.statement, about, f"instead: {row.remedy}" if row.remedy else ""]
        said = Group(*(text(line, "") for line in lines if line))
        blocks += [title, Padding(said, (0, 0, 0, 6), expand=False)]
    return Group(*blocks)


def _size(row: Any) -> str:  # noqa: ANN401 # a finding of lint
    if row.table is None:
        return ""
    rows = "an unknown number of" if row.rows is None else f"about {_short(row.rows)}"
    return f" ({row.table}: {rows} rows)"


def _short(number: int) -> str:
    for unit, letter in _THOUSANDS:
        if number >= unit:
            return f"{number / unit:.3g}{letter}"
    return str(number)
