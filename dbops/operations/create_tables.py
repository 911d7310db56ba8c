"""Create the tables of a SQLAlchemy MetaData that are missing."""

import importlib
from typing import Any

from sqlalchemy import (
    Connection,
    MetaData,
    create_mock_engine,
    inspect,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from dbops.engine.connect import Connectors
from dbops.engine.ddl import ddl_connection
from dbops.errors import UsageError
from dbops.results import Result

# CREATE TABLE IF NOT EXISTS races with itself, so calls take turns; the lock ends with
# the transaction that creates the tables.
# https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
TAKE_TURNS = text("""
    SELECT pg_catalog.pg_advisory_xact_lock(
        pg_catalog.hashtextextended('dbops:create-tables', 0))
""")
WAIT_AT_MOST = text("SELECT pg_catalog.set_config('lock_timeout', :limit, true)")


class CreatedTables(Result):
    """Which tables were created, and which were there."""

    created: tuple[str, ...]
    """Created now, `schema.table` where the schema is not the default one."""
    existing: tuple[str, ...]
    """There already; they are not compared with the model."""
    ddl: tuple[str, ...] = ()
    """What would be run; only for a dry run."""


def load_metadata(where: str) -> MetaData:
    """Import `package.module:metadata`, or `:Base` of a declarative model.

    Raises:
        UsageError: If it cannot be imported or is no MetaData.
    """
    module_name, colon, path = where.partition(":")
    if not (colon and module_name and path):
        raise UsageError(
            f"{where!r} does not say where the tables are",
            hint="write it as package.module:metadata or package.module:Base",
        )
    found = _imported(module_name, path)
    metadata = getattr(found, "metadata", found)
    if not isinstance(metadata, MetaData):
        raise UsageError(
            f"{where!r} is neither a MetaData nor a declarative base",
            hint="name the object that holds your tables",
        )
    if not metadata.tables:
        raise UsageError(
            f"{where!r} holds no tables",
            hint="import the modules that define them where it is defined",
        )
    return metadata


async def create_tables(connectors: Connectors, metadata: MetaData) -> CreatedTables:
    """Create the missing tables of `metadata` in one transaction.

    Args:
        connectors: How to reach the database (role `migration`).
        metadata: The tables.

    Raises:
        RefusedError: If the role may not create tables, or it is a standby.
        FailedError: If the server refuses a definition; then nothing is created.
        LockedError: If others create tables, or hold one that a key refers to, for
            too long.
        DbopsError: As `Connector.__call__`.
    """
    connector = connectors.connector("migration", is_ddl=True)
    settings = connectors.settings
    async with ddl_connection(connector) as connection, connection.begin():
        await _wait_at_most(connection, settings.lock_timeout)
        await connection.execute(TAKE_TURNS)
        # A foreign key locks the table that it refers to.
        await _wait_at_most(connection, settings.ddl_lock_timeout)
        existing = await connection.run_sync(_existing, metadata)
        await connection.run_sync(metadata.create_all)
    names = tuple(table.fullname for table in metadata.sorted_tables)
    return CreatedTables(
        created=tuple(name for name in names if name not in existing),
        existing=tuple(name for name in names if name in existing),
    )


async def _wait_at_most(connection: AsyncConnection, limit_s: float | None) -> None:
    """Bound how long a lock is waited for, until the transaction ends."""
    if limit_s is not None:
        await connection.execute(WAIT_AT_MOST, {"limit": f"{round(limit_s * 1000)}ms"})


async def planned_tables(connectors: Connectors, metadata: MetaData) -> CreatedTables:
    """Say what `create_tables` would do, and with which DDL.

    Raises:
        DbopsError: As `Connector.__call__`.
    """
    async with ddl_connection(connectors.connector("migration")) as connection:
        existing = await connection.run_sync(_existing, metadata)
    missing = [
        table for table in metadata.sorted_tables if table.fullname not in existing
    ]
    return CreatedTables(
        created=tuple(table.fullname for table in missing),
        existing=tuple(sorted(existing)),
        ddl=_ddl(metadata, missing),
    )


def _imported(module_name: str, path: str) -> Any:  # noqa: ANN401 # the user's own object
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        # The user's own module may fail in any way that it likes.
        raise UsageError(
            f"{module_name!r} cannot be imported: {type(error).__name__}: {error}",
            hint="run dbops from the project's folder, or install the project",
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise UsageError(f"{module_name!r} has no {path!r}")
        found = getattr(found, name)
    return found


def _existing(connection: Connection, metadata: MetaData) -> frozenset[str]:
    inspector = inspect(connection)
    return frozenset(
        table.fullname
        for table in metadata.sorted_tables
        if inspector.has_table(table.name, schema=table.schema)
    )


def _ddl(metadata: MetaData, tables: list[Any]) -> tuple[str, ...]:
    statements: list[str] = []

    def collect(element: Any, *_: object, **__: object) -> None:  # noqa: ANN401 # any DDL
        compiled = element.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call] # SQLAlchemy's own
        statements.append(str(compiled).strip())

    engine = create_mock_engine("postgresql://", collect)
    metadata.create_all(engine, tables=tables, checkfirst=False)
    return tuple(statements)
