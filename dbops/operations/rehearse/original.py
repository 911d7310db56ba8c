"""What is known about the real database? Read only."""

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, Connector
from dbops.engine.quoting import quoted_identifier
from dbops.errors import DbopsError
from dbops.operations.rehearse.leads import Leads

# https://www.postgresql.org/docs/current/view-pg-settings.html
_ABOUT = """
SELECT pg_catalog.current_setting('server_version_num')::int AS number,
       pg_catalog.current_setting('server_version') AS version,
       pg_catalog.current_database()::text AS database,
       current_user::text AS role,
       (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'search_path'
           AND source <> 'default') AS search_path
"""
_ROLES = "SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_'"
_EXTENSIONS = "SELECT extname::text FROM pg_catalog.pg_extension"
_TABLE = """
SELECT n.nspname::text, c.relname::text
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = pg_catalog.to_regclass($1)
"""
# reltuples is -1 where nobody has counted yet (from 14 on).
# https://www.postgresql.org/docs/current/catalog-pg-class.html
_WEIGHT = """
SELECT CASE WHEN c.reltuples >= 0 THEN c.reltuples::int8 END,
       pg_catalog.pg_total_relation_size(c.oid)
  FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1)
   AND c.relkind IN ('r', 'p', 'm')
"""


class Weight(NamedTuple):
    """How much there is of a table; None when unknown."""

    rows: int | None = None
    size_bytes: int | None = None


class Version(NamedTuple):
    """Where the database stands."""

    table: str
    """The version table with its schema, quoted."""
    revisions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Original:
    """The real database, as far as a copy needs to know it."""

    endpoint: Endpoint
    """Where its schema can be read: one address, with a password for it."""
    snapshot: str
    """What it looks like at one instant, while the session that asked lives."""
    version: str
    major: int
    database: str
    role: str
    """Whom we are there."""
    search_path: str | None
    """Where it is not PostgreSQL's own default, whoever has set it."""
    roles: tuple[str, ...]
    extensions: tuple[str, ...]


class Reading(NamedTuple):
    """A session on the real database that can change nothing."""

    connection: Connection
    endpoint: Endpoint
    """Where it leads: one address, with a password for one more connection."""


async def original(reading: Reading) -> Original:
    """Ask the real database about itself.

    Raises:
        DbopsError: As `Connector.session`.
    """
    connection = reading.connection
    about = await connection.fetchrow(_ABOUT)
    assert about is not None  # one row  # noqa: S101
    return Original(
        endpoint=reading.endpoint,
        # What pg_dump and we read is then of one instant.
        snapshot=await connection.fetchval("SELECT pg_catalog.pg_export_snapshot()"),
        version=about["version"].split()[0],
        major=about["number"] // 10000,
        database=about["database"],
        role=about["role"],
        search_path=about["search_path"],
        roles=tuple(row[0] for row in await connection.fetch(_ROLES)),
        extensions=tuple(row[0] for row in await connection.fetch(_EXTENSIONS)),
    )


async def version_of(reading: Reading, leads: Leads) -> Version | None:
    """Read the version; None where there is no version table yet.

    Raises:
        DbopsError: As `Connector.session`.
    """
    connection = reading.connection
    name = quoted_identifier(leads.version_table)
    if leads.version_schema:
        name = f"{quoted_identifier(leads.version_schema)}.{name}"
    row = await connection.fetchrow(_TABLE, name)
    if row is None:
        return None
    table = f"{quoted_identifier(row[0])}.{quoted_identifier(row[1])}"
    rows = await connection.fetch(f"SELECT version_num::text FROM {table}")  # noqa: S608 # quoted
    return Version(table, tuple(sorted(it[0] for it in rows)))


async def weights(connector: Connector, names: Collection[str]) -> Mapping[str, Weight]:
    """Say how big the real tables are; without those that cannot be asked just now.

    Args:
        connector: Leads to the real database.
        names: With their schemas, quoted where SQL needs it.
    """
    found: dict[str, Weight] = {}
    try:
        async with reading(connector) as real:
            for name in names:
                row = await real.connection.fetchrow(_WEIGHT, name)
                if row is not None:
                    found[name] = Weight(*row)
    except DbopsError:
        # What was asked until then is worth having; the rest is unknown.
        return found
    return found


@asynccontextmanager
async def reading(connector: Connector) -> AsyncGenerator[Reading]:
    """Have a session that sees one instant, can change nothing, and waits for nobody.

    Raises:
        DbopsError: As `Connector.session`.
    """
    async with connector.dialled() as dialled:
        connection = dialled.connection
        login = await connector.login()
        mode = dialled.endpoint.sslmode
        if dialled.tls is not None and mode in (None, "allow", "prefer"):
            # What is encrypted here has to be so in a child process.
            mode = "require"
        endpoint = replace(dialled.endpoint, password=login.password, sslmode=mode)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            # LOCAL: behind a pooler the session is somebody else's afterwards.
            await connection.execute("SET LOCAL lock_timeout = '1s'")
            await connection.execute(
                "SET LOCAL idle_in_transaction_session_timeout = 0"
            )
            yield Reading(connection, endpoint)
