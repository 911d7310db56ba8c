"""Drop a database, with guards."""

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dbops.engine.connect import Connectors
from dbops.engine.ddl import ddl_connection
from dbops.engine.faults.translate import sqlstate
from dbops.engine.quoting import quoted_identifier
from dbops.errors import RefusedError
from dbops.results import Result

# https://www.postgresql.org/docs/current/catalog-pg-database.html
EXISTS = text("""
    SELECT EXISTS (SELECT FROM pg_catalog.pg_database d
                    WHERE d.datname = CAST(:name AS text))
""")
# https://www.postgresql.org/docs/current/monitoring-stats.html
SESSIONS = text("""
    SELECT count(*)::int FROM pg_catalog.pg_stat_activity a
     WHERE a.datname = CAST(:name AS text)
""")

_TEMPLATES = ("postgres", "template0", "template1")
_IN_USE = "55006"


class DroppedDatabase(Result):
    """Whether the database was dropped."""

    database: str
    """Its name."""
    dropped: bool
    """False when there was none."""


async def drop_db(
    connectors: Connectors, name: str, *, confirmed: bool, force: bool = False
) -> DroppedDatabase:
    """Drop the database `name` if it exists.

    Args:
        connectors: How to reach the maintenance database (role `admin`).
        name: Which one.
        confirmed: Whether somebody has said yes.
        force: End the sessions that are connected to it.

    Raises:
        RefusedError: If nobody confirmed, the target is protected, the database is one
            that PostgreSQL itself needs, or sessions stay connected to it.
        DbopsError: As `Connector.__call__`.
    """
    if connectors.settings.protected:
        raise RefusedError(
            "this target is protected: nothing is dropped",
            hint="protected = true stands in its configuration",
        )
    if name in _TEMPLATES:
        raise RefusedError(f"{name!r} belongs to PostgreSQL itself: it is not dropped")
    if not confirmed:
        raise RefusedError(
            f"dropping {name!r} needs a confirmation", hint="repeat it with --yes"
        )
    connector = connectors.connector("admin", is_ddl=True)
    async with ddl_connection(connector, autocommit=True) as connection:
        if not await connection.scalar(EXISTS, {"name": name}):
            return DroppedDatabase(database=name, dropped=False)
        options = " WITH (FORCE)" if force else ""
        statement = f"DROP DATABASE IF EXISTS {quoted_identifier(name)}{options}"
        try:
            await connection.exec_driver_sql(statement)
        except DBAPIError as error:
            # The server gives sessions 5 s to end, and sends autovacuum away itself.
            if sqlstate(error) != _IN_USE:
                raise
            sessions = await connection.scalar(SESSIONS, {"name": name})
            if not sessions:
                raise  # it is a replication slot, or a prepared transaction
            raise RefusedError(
                f"{sessions} sessions are connected to {name!r}",
                hint="end them, or repeat it with --force",
                phase="query",
                sqlstate=_IN_USE,
            ) from error
    return DroppedDatabase(database=name, dropped=True)
