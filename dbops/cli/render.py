"""Any result as text for a person or as one JSON document.

There is one renderer for all: scalars become lines, lists of models become tables,
models stand indented below their name, and so do rows that have rows of their own.
"""

import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TextIO

from pydantic import BaseModel

from dbops.cli.findings import are_findings, listed
from dbops.results import Problem, Result, Status

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_COLOURS = {
    Status.OK: "green",
    Status.WARN: "yellow",
    Status.FAIL: "red",
    Status.UNKNOWN: "magenta",
}
_WIDTH_OF_A_PIPE = 160
_MOST_COLUMNS = 8
_FEW_ROWS = 4


def safe(text: str) -> str:
    r"""Write every character that is not printable as `\xNN`.

    Names in a database may hold escape sequences that would drive the terminal.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def document(
    command: str,
    target: str,
    *,
    exit_code: int,
    result: Result | None,
    problem: Problem | None,
) -> dict[str, Any]:
    """Return the JSON document of one command on one target."""
    error = problem.model_dump(mode="json", exclude={"outcome"}) if problem else None
    return {
        "command": command,
        "target": target,
        "status": str(result.status) if result else None,
        "exit_code": exit_code,
        "error": error,
        "result": result.model_dump(mode="json") if result else None,
    }


def write_json(value: Mapping[str, Any], stream: TextIO) -> None:
    """Write one document on one line; ASCII, so that no name can drive a terminal."""
    stream.write(json.dumps(value) + "\n")
    stream.flush()


def write_human(result: Result, stream: TextIO, *, title: str | None = None) -> None:
    """Write a result as text, coloured on a terminal."""
    # Imported here: it takes as long as connecting, and JSON does without.
    from rich.console import Console  # noqa: PLC0415

    console = Console(
        file=stream,
        highlight=False,
        width=None if stream.isatty() else _WIDTH_OF_A_PIPE,
        soft_wrap=False,
    )
    if title is not None:
        console.print()
        console.print(_text(title, "bold"))
    console.print(_status_line(result))
    for part in _parts(result):
        console.print(part)


def write_notice(text: str) -> None:
    """Say something on stderr that is no part of the result."""
    sys.stderr.write(f"{safe(text)}\n")
    sys.stderr.flush()


def write_problem(problem: Problem) -> None:
    """Say on stderr what went wrong and what to do about it."""
    write_notice(f"error: {problem.message}")
    if problem.hint:
        write_notice(f"hint: {problem.hint}")


def _status_line(result: Result) -> "RenderableType":
    return _text(str(result.status), _COLOURS[result.status])


def _parts(model: BaseModel) -> list["RenderableType"]:
    """Return the lines of scalars first, then everything that takes more room."""
    from rich.padding import Padding  # noqa: PLC0415 # with rich itself
    from rich.table import Table  # noqa: PLC0415 # same

    grid = Table.grid(padding=(0, 2))
    below: list[RenderableType] = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        if name == "status" or isinstance(value, Problem):
            continue
        if isinstance(value, Result):
            below.append(_text(f"{_label(name)}: {value.status}", _colour(value)))
            below += [
                Padding(part, (0, 0, 0, 2), expand=False) for part in _parts(value)
            ]
        elif isinstance(value, BaseModel):
            below.append(_text(_label(name)))
            below += [
                Padding(part, (0, 0, 0, 2), expand=False) for part in _parts(value)
            ]
        elif _is_rows(value):
            rows = listed(value, _text) if are_findings(value) else _table(value)
            below += [
                _text(_label(name)),
                Padding(rows, (0, 0, 0, 2), expand=False),
            ]
        elif isinstance(value, tuple):
            grid.add_row(_text(_label(name), "dim"), _text(_listed(value)))
        elif value is not None:
            grid.add_row(_text(_label(name), "dim"), _text(_plain(value)))
    return [*([grid] if grid.row_count else []), *below]


def _is_rows(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], BaseModel)


def _holds_rows(row: BaseModel) -> bool:
    """Tell whether a row has rows of its own, which no cell can show."""
    return any(_is_rows(value) for _, value in row)


def _sections(rows: tuple[BaseModel, ...]) -> "RenderableType":
    """Show rows one below the other, each with its own rows below it."""
    from rich.console import Group  # noqa: PLC0415 # with rich itself

    parts = [["" if number else None, *_parts(row)] for number, row in enumerate(rows)]
    return Group(*(part for section in parts for part in section if part is not None))


def _table(rows: tuple[BaseModel, ...]) -> "RenderableType":
    if any(_holds_rows(row) for row in rows):
        return _sections(rows)
    flat = [_flattened(row) for row in rows]
    # A column that is unknown in every row takes no room.
    names = [
        name
        for name in dict.fromkeys(name for row in flat for name in row)
        if any(row.get(name) not in (None, ()) for row in flat)
    ]
    if len(names) > _MOST_COLUMNS and len(rows) <= _FEW_ROWS:
        return _side_by_side(flat, names)
    from rich import box  # noqa: PLC0415 # with rich itself
    from rich.table import Table  # noqa: PLC0415 # same

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in names:
        numeric = all(isinstance(row.get(name), int | float | None) for row in flat)
        table.add_column(
            _text(_label(name)),
            justify="right" if numeric else "left",
            overflow="fold",
        )
    for row in flat:
        table.add_row(*(_cell(row.get(name)) for name in names))
    return table


def _side_by_side(flat: list[dict[str, object]], names: list[str]) -> "RenderableType":
    """Show few rows of many columns as columns: they fit on every terminal."""
    from rich.table import Table  # noqa: PLC0415 # with rich itself

    grid = Table.grid(padding=(0, 2))
    for name in names:
        grid.add_row(
            _text(_label(name), "dim"), *(_cell(row.get(name)) for row in flat)
        )
    return grid


def _flattened(row: BaseModel) -> dict[str, object]:
    """Spread the models in a row into columns of their own."""
    flat: dict[str, object] = {}
    for name in type(row).model_fields:
        value = getattr(row, name)
        if isinstance(value, Problem):
            flat["error"] = value.message
        elif isinstance(value, BaseModel):
            for inner, part in _flattened(value).items():
                stem, unit, _ = name.rpartition("_ms")
                flat[f"{inner}{unit}" if stem else f"{name}_{inner}"] = part
        else:
            flat[name] = value
    return flat


def _cell(value: object) -> "RenderableType":
    if isinstance(value, tuple):
        return _text(_listed(value))
    style = _COLOURS.get(value, "") if isinstance(value, Status) else ""
    return _text("" if value is None else _plain(value), style)


def _colour(result: Result) -> str:
    return _COLOURS[result.status]


def _listed(values: tuple[object, ...]) -> str:
    return ", ".join(_plain(value) for value in values) or "none"


def _plain(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.1f}" if abs(value) >= 1 else f"{value:.3g}"
        case StrEnum():
            return value.value.replace("_", " ")
        case _:
            return str(value)


def _label(name: str) -> str:
    return name.replace("_", " ")


def _text(text: str, style: str = "") -> "Text":
    from rich.text import Text  # noqa: PLC0415 # with rich itself

    # Text, so that nothing in it is read as markup.
    return Text(safe(text), style=style)
