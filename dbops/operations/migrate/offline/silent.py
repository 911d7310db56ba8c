"""A connection that writes down what it is told to do, and answers nothing.

Alembic's own gives None for an answer and drops the parameters of a statement, so that
`execute(text("… :x"), {"x": 1})` is rendered with NULL in the place of 1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from sqlalchemy import (
    BindParameter,
    ClauseElement,
    Insert,
    TextClause,
    Update,
    literal,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.inspection import _inspects
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.types import NullType

Hinder = Callable[[str], Exception]
"""Notes why a revision cannot be rendered whole, and returns what to raise."""

_NEEDS_ANSWER = "it needs the answer to a query, and SQL is rendered without a database"


class _NoAnswer:
    """What a statement returns: whoever looks into it cannot be rendered."""

    def __init__(self, hinder: Hinder) -> None:
        self.__dict__["_hinder"] = hinder

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._refused()

    def __bool__(self) -> bool:
        raise self._refused()

    def __iter__(self) -> Iterator[Any]:
        raise self._refused()

    def __getitem__(self, _: object) -> NoReturn:
        raise self._refused()

    def _refused(self) -> Exception:
        return self.__dict__["_hinder"](_NEEDS_ANSWER)  # type: ignore[no-any-return] # a Hinder


class SilentConnection(MockConnection):
    """What `op.get_bind()` returns while SQL is rendered.

    Args:
        dialect: Whose SQL.
        write: Renders one statement.
        hinder: Called when a revision wants more than rendering can give.
    """

    def __init__(
        self, dialect: Dialect, write: Callable[[Any], Any], hinder: Hinder
    ) -> None:
        super().__init__(dialect, self._written)
        self._write = write
        self.hinder = hinder

    def exec_driver_sql(self, statement: str, parameters: object = None) -> _NoAnswer:
        """Write a statement as it is."""
        if parameters:
            raise self.hinder("it passes parameters to exec_driver_sql")
        # Nothing in it is a parameter.
        return self._written(text(statement.replace(":", r"\:")))

    def _written(self, statement: Any, parameters: Any = None) -> _NoAnswer:  # noqa: ANN401 # whatever a revision executes
        if isinstance(statement, str):
            statement = text(statement)
        rows = parameters if isinstance(parameters, Sequence) else [parameters or {}]
        for row in rows or [{}]:
            self._write(_with_values(statement, row) if row else statement)
        return _NoAnswer(self.hinder)


@_inspects(SilentConnection)
def _inspected(connection: SilentConnection) -> NoReturn:
    """Refuse an inspector, and note it: what it finds decides what is done."""
    raise connection.hinder("it inspects the database, and SQL is rendered without one")


def _with_values(statement: Any, row: Mapping[str, Any]) -> Any:  # noqa: ANN401 # as above
    if isinstance(statement, TextClause):
        return statement.bindparams(**row)
    if isinstance(statement, Insert | Update):
        return statement.values(**row)
    return statement.params(**row)


def type_values(dialect: Dialect) -> None:
    """Write a value by its own type where its column has none.

    A driver takes such a value as it is; Alembic cannot render it.
    """
    base: Any = dialect.statement_compiler

    class Compiler(base):  # type: ignore[misc] # each dialect has its own
        def render_literal_value(self, value: Any, type_: Any) -> str:  # noqa: ANN401 # SQLAlchemy's own
            if isinstance(type_, NullType):
                type_ = literal(value).type
            return str(super().render_literal_value(value, type_))

    dialect.statement_compiler = Compiler


def missing_values(statement: ClauseElement, dialect: Dialect) -> list[str]:
    """Return the parameters of a statement that nothing gives a value to."""
    if isinstance(statement, ExecutableDDLElement):
        return []
    unsaid = [
        part.key
        for part in iterate(statement)
        if isinstance(part, BindParameter) and part.required
    ]
    compiled = statement.compile(
        dialect=dialect, compile_kwargs={"literal_binds": True}
    )
    # An INSERT without values stands for one that is given them later.
    return unsaid or list(getattr(compiled, "binds", ()))
