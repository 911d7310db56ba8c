"""A type, a default, an expression of SQLAlchemy's, as a person reads it."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Column
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import SQLAlchemyError


def options_text(options: Mapping[str, Any], dialect: Dialect) -> str:
    """Write what PostgreSQL alone knows of an index, such as ` where n > 0`."""
    said = (
        f" {name.removeprefix('postgresql_')} {sql_text(value, dialect)}"
        for name, value in sorted(options.items())
        if value
    )
    return "".join(said)


def listed(elements: Iterable[Any], dialect: Dialect) -> str:
    """Write columns and expressions one after the other."""
    return ", ".join(sql_text(element, dialect) for element in elements)


def sql_text(element: Any, dialect: Dialect) -> str:  # noqa: ANN401 # a column, an expression, a text
    """Write an expression as SQL; a column by its name."""
    if isinstance(element, Column):
        return str(element.name)
    if not hasattr(element, "compile"):
        return str(element)
    try:
        literal = {"literal_binds": True, "include_table": False}
        return str(element.compile(dialect=dialect, compile_kwargs=literal))
    except SQLAlchemyError:
        return str(element)


def type_text(type_: Any, dialect: Dialect) -> str:  # noqa: ANN401 # a type or its class
    """Write a type as the server does, in small letters unless it is quoted."""
    try:
        name = str(type_.compile(dialect))
    except Exception:  # noqa: BLE001 # a type of the user's own, and its own code
        name = repr(type_)
    return name if '"' in name else name.lower()


def default_text(default: Any, dialect: Dialect) -> str | None:  # noqa: ANN401 # False, None, a clause, a text
    """Write a server default; None when there is none."""
    if default is None or default is False:
        return None
    arg = getattr(default, "arg", None)
    if arg is None:
        arg = getattr(default, "sqltext", default)
    if isinstance(default, str) or isinstance(arg, str):
        return str(arg)
    return sql_text(arg, dialect)
