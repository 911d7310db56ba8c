"""Which tenants does a query list, and are their schemas there?"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dbops.engine.connect import Connector
from dbops.errors import ConfigError, DbopsError, RefusedError

# nspname is compared as text: a name of more than 63 bytes is nobody's, not a
# shortened one's.
# https://www.postgresql.org/docs/current/catalog-pg-namespace.html
MISSING = """
    SELECT wanted FROM pg_catalog.unnest($1::pg_catalog.text[]) AS wanted
     WHERE wanted NOT IN (SELECT nspname::pg_catalog.text
                            FROM pg_catalog.pg_namespace)
"""

READ_ONLY = "25006"

_PLACES = ("database", "schema", "host")
_COLUMNS = ("name", *_PLACES)
_SHOWN = 5


class Tenant(NamedTuple):
    """One row of the query."""

    name: str
    """What it is called in reports."""
    database: str | None
    """Its database; None for the one that was asked."""
    schema: str | None
    """Its schema; None for the search_path of whoever connects."""
    host: str | None
    """Its server, with or without a port; None for the one that was asked."""


async def tenants(connector: Connector, sql: str) -> tuple[Tenant, ...]:
    """Run the query, which cannot write, and return its rows in their order.

    Args:
        connector: Whom to ask.
        sql: One SELECT of the columns `name`, `database`, `schema`, `host`; the first
            one is the name where none is called so.

    Raises:
        ConfigError: If it lists nothing, says nothing of where, or lists a tenant or a
            place twice, or without a value; if it is not one SELECT.
        DbopsError: As `Connector.__call__`.
    """
    try:
        async with (
            connector.session() as connection,
            connection.transaction(readonly=True),
        ):
            # Prepared, so that a second statement behind a semicolon is refused.
            statement = await connection.prepare(sql)
            columns = [column.name for column in statement.get_attributes()]
            rows = [tuple(row) for row in await statement.fetch()]
    except DbopsError as error:
        is_refused = isinstance(error, RefusedError) and error.sqlstate != READ_ONLY
        if error.phase != "query" or error.retryable or is_refused:
            raise
        raise ConfigError(
            f"the query of targets_sql failed: {error.message}",
            hint="it has to be one SELECT that writes nothing",
            phase="targets",
            sqlstate=error.sqlstate,
        ) from error
    return _read(columns, rows)


async def missing_schemas(connector: Connector, schemas: Iterable[str]) -> set[str]:
    """Return those of `schemas` that the database does not have.

    Raises:
        DbopsError: As `Connector.__call__`.
    """
    async with connector.session() as connection:
        return {row[0] for row in await connection.fetch(MISSING, list(schemas))}


def _read(
    columns: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> tuple[Tenant, ...]:
    _check_columns(columns)
    if not rows:
        raise _wrong("lists no tenant", "nothing was done; look at its conditions")
    label = "name" if "name" in columns else columns[0]
    found = []
    for number, row in enumerate(rows, start=1):
        said = dict(zip(columns, map(_text, row), strict=True))
        for column, value in said.items():
            if not value:
                raise _wrong(
                    f"gives no {column} in row {number}",
                    "leave such rows out: WHERE … IS NOT NULL",
                )
        found.append(Tenant(said[label] or "", *map(said.get, _PLACES)))
    _check_once([tenant.name for tenant in found], "the name")
    _check_places(found)
    return tuple(found)


def _check_columns(columns: Sequence[str]) -> None:
    select = f"select {', '.join(_COLUMNS[:-1])} or {_COLUMNS[-1]}"
    if not columns:
        raise _wrong("returns no columns", f"{select}; it has to be one SELECT")
    _check_once(columns, "the column")
    # A misspelt column would send every tenant to the database that was asked.
    strange = [name for name in columns[1:] if name not in _COLUMNS]
    if "name" in columns and columns[0] not in _COLUMNS:
        strange.insert(0, columns[0])
    if strange:
        raise _wrong(f"has a column {strange[0]!r} that says nothing", select)
    if not set(_PLACES).intersection(columns):
        raise _wrong(
            "says nothing of where the tenants are",
            "select a column called database, schema or host beside the name",
        )


def _check_once(values: Sequence[str], what: str) -> None:
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        raise _wrong(f"lists {what} {_listed(twice)} twice", "SELECT DISTINCT helps")


def _check_places(found: Sequence[Tenant]) -> None:
    """Refuse two names for one place: each would wait for the other's work."""
    names: dict[tuple[str | None, ...], list[str]] = {}
    for tenant in found:
        names.setdefault(tenant[1:], []).append(tenant.name)
    for shared in names.values():
        if len(shared) > 1:
            raise _wrong(
                f"gives one place several names: {_listed(shared)}",
                "select each database, schema and host once",
            )


def _listed(values: Sequence[str]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(map(repr, values[:_SHOWN])) + more


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _wrong(what: str, hint: str) -> ConfigError:
    return ConfigError(f"the query of targets_sql {what}", hint=hint, phase="targets")
