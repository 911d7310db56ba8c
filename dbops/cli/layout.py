"""Any result as lines and tables.

Scalars become lines, lists of models become tables, models stand indented below their
name; models of one kind stand beside each other, and so do few rows of many columns.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from rich.console import Console
from typing_extensions import override

from dbops.cli.cells import flattened, holds_rows, label, plain, said, takes_room
from dbops.cli.findings import are_findings, listed
from dbops.results import Result, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType
    from rich.text import Text

COLOURS = {
    Status.OK: "green",
    Status.WARN: "yellow",
    Status.FAIL: "red",
    Status.UNKNOWN: "magenta",
}
_MOST_COLUMNS = 8
_FEW_ROWS = 4


class Paper(Console):
    """Where a person reads; a reader who has gone is not for it to judge.

    Its base would end the process with 1, which says that something is unhealthy.
    """

    @override
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Layout:
    """Lays a result out.

    Args:
        words: Makes text that is safe to show, in a style.
        besides: Fields that have been shown.
    """

    def __init__(
        self, words: "Callable[[str, str], Text]", *, besides: Sequence[str] = ()
    ) -> None:
        self._words = words
        self._besides = ("status", *besides)

    def parts(self, model: BaseModel) -> list["RenderableType"]:
        """Return the lines of scalars first, then everything that takes more room."""
        shown = {
            name: value for name, value in said(model) if name not in self._besides
        }
        below = [it for it in shown.items() if takes_room(it[1])]
        grid = self._grid({name: [it] for name, it in shown.items()})
        return [*grid, *self._below(below)]

    def _below(self, fields: Sequence[tuple[str, Any]]) -> Iterator["RenderableType"]:
        """Show what takes room, models of one kind beside each other."""
        inner = Layout(self._words)
        for kind, group in groupby(fields, key=lambda it: type(it[1])):
            models = dict(group)
            if len(models) > 1 and issubclass(kind, BaseModel):
                yield from inner._abreast(models)
                continue
            for name, value in models.items():
                yield from inner._section(name, value)

    def _section(self, name: str, value: Any) -> Iterator["RenderableType"]:  # noqa: ANN401 # rows, or a model
        title = label(name)
        if isinstance(value, Result):
            yield self._words(f"{title}: {value.status}", COLOURS[value.status])
        else:
            yield self._words(title, "")
        if isinstance(value, BaseModel):
            yield from map(_indented, self.parts(value))
        else:
            yield _indented(self._rows(value))

    def _abreast(self, models: Mapping[str, BaseModel]) -> Iterator["RenderableType"]:
        """Show what is plain in columns, and what takes room below, model by model."""
        each = [dict(said(it)) for it in models.values()]
        names = dict.fromkeys(name for it in each for name in it)
        columns = {name: [it.get(name) for it in each] for name in names}
        yield from self._grid(columns, head=[label(name) for name in models])
        for owner, fields in zip(models, each, strict=True):
            for name, value in fields.items():
                if takes_room(value):
                    yield from self._section(f"{name} of {owner}", value)

    def _grid(
        self, rows: Mapping[str, Sequence[object]], head: Sequence[str] = ()
    ) -> list["RenderableType"]:
        """Show a line for each name, with a value or several beside it."""
        from rich.table import Table  # noqa: PLC0415 # with rich itself

        grid = Table.grid(padding=(0, 2))
        if head:
            grid.add_row("", *(self._words(it, "") for it in head))
        for name, values in rows.items():
            if not any(takes_room(it) for it in values):
                cells = (self._cell(it) for it in values)
                grid.add_row(self._words(label(name), "dim"), *cells)
        return [grid] if grid.row_count else []

    def _rows(self, rows: tuple[BaseModel, ...]) -> "RenderableType":
        if are_findings(rows):  # type: ignore[arg-type] # rows of results are models
            return listed(rows, self._words)
        if any(holds_rows(row) for row in rows):
            return self._sections(rows)
        flat = [flattened(row) for row in rows]
        # A column that is unknown in every row takes no room.
        names = [
            name
            for name in dict.fromkeys(name for row in flat for name in row)
            if any(row.get(name) not in (None, ()) for row in flat)
        ]
        if len(names) > _MOST_COLUMNS and len(rows) <= _FEW_ROWS:
            (grid,) = self._grid({it: [row.get(it) for row in flat] for it in names})
            return grid
        return self._table(flat, names)

    def _sections(self, rows: tuple[BaseModel, ...]) -> "RenderableType":
        """Show rows one below the other, each with its own rows below it."""
        from rich.console import Group  # noqa: PLC0415 # with rich itself

        parts: list[RenderableType] = []
        for number, row in enumerate(rows):
            parts += [*([""] if number else []), *self.parts(row)]
        return Group(*parts)

    def _table(
        self, flat: Sequence[Mapping[str, object]], names: Sequence[str]
    ) -> "RenderableType":
        from rich import box  # noqa: PLC0415 # with rich itself
        from rich.table import Table  # noqa: PLC0415 # same

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for name in names:
            numeric = all(isinstance(row.get(name), int | float | None) for row in flat)
            table.add_column(
                self._words(label(name), ""),
                justify="right" if numeric else "left",
                overflow="fold",
            )
        for row in flat:
            table.add_row(*(self._cell(row.get(name)) for name in names))
        return table

    def _cell(self, value: object) -> "RenderableType":
        style = COLOURS[value] if isinstance(value, Status) else ""
        return self._words("" if value is None else plain(value), style)


def _indented(part: "RenderableType") -> "RenderableType":
    from rich.padding import Padding  # noqa: PLC0415 # with rich itself

    return Padding(part, (0, 0, 0, 2), expand=False)
