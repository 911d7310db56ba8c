"""Create a database that is missing, however many try at once."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from dbops.engine.connect import Connectors
from dbops.engine.ddl import ddl_connection
from dbops.engine.faults.translate import sqlstate
from dbops.engine.quoting import quoted_identifier, quoted_literal
from dbops.errors import RefusedError, UsageError
from dbops.results import Model, Result, Status

# https://www.postgresql.org/docs/current/catalog-pg-database.html
FOUND = text("""
    SELECT pg_catalog.pg_get_userbyid(d.datdba) AS owner,
           pg_catalog.pg_encoding_to_char(d.encoding) AS encoding,
           d.datcollate AS locale,
           d.datallowconn AS allows_connections
      FROM pg_catalog.pg_database d
     WHERE d.datname = CAST(:name AS text)
""")
EXTENSIONS = text("""
    SELECT e.extname FROM pg_catalog.pg_extension e
     WHERE e.extname = ANY(CAST(:names AS text[]))
""")

# CREATE DATABASE that loses a race fails on the unique index, not with 42P04; the same
# goes for CREATE EXTENSION IF NOT EXISTS.
_EXISTS = frozenset({"42P04", "23505", "42710"})


class Difference(Model):
    """One property of an existing database that is not as asked for."""

    name: str
    """Such as `owner`."""
    wanted: str
    """What was asked for."""
    actual: str
    """What it is."""


class CreatedDatabase(Result):
    """Whether the database was created, and how it differs from what was asked for."""

    database: str
    """Its name."""
    created: bool
    """False when it existed."""
    differences: tuple[Difference, ...] = ()
    """What differs, when it existed."""
    extensions: tuple[str, ...] = ()
    """The extensions that were created now."""


async def create_db(
    connectors: Connectors,
    name: str,
    *,
    owner: str | None = None,
    encoding: str | None = None,
    locale: str | None = None,
    template: str | None = None,
    extensions: Sequence[str] = (),
) -> CreatedDatabase:
    """Create the database `name` unless it exists.

    Args:
        connectors: How to reach the maintenance database (role `admin`).
        name: In any script, at most 63 bytes of UTF-8.
        owner: An existing role; None for the role that connects.
        encoding: Such as `UTF8`; None for the template's.
        locale: Such as `C.UTF-8`; None for the template's.
        template: None for template0, which nobody can be connected to.
        extensions: Created in the database, existing or new.

    Raises:
        UsageError: If the name is empty, too long or holds a NUL byte.
        RefusedError: If the server denies it, or it is a standby.
        DbopsError: As `Connector.__call__`.
    """
    check_database_name(name)
    wanted = {"owner": owner, "encoding": encoding, "locale": locale}
    async with ddl_connection(
        connectors.connector("admin", is_ddl=True), autocommit=True
    ) as connection:
        created = False
        if await _found(connection, name) is None:
            created = await _created(connection, name, template or "template0", wanted)
        differences = () if created else await _differences(connection, name, wanted)
    added = await _add_extensions(connectors, name, extensions)
    return CreatedDatabase(
        status=Status.WARN if differences else Status.OK,
        database=name,
        created=created,
        differences=differences,
        extensions=added,
    )


def check_database_name(name: str) -> None:
    """Refuse what the server would refuse, or cut off without a word.

    Raises:
        UsageError: If the name is empty, over 63 bytes, or holds a NUL byte.
    """
    if not name or "\0" in name:
        raise UsageError("a database name must not be empty or hold a NUL byte")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise UsageError(
            "the database name is not valid Unicode", hint="give it as UTF-8"
        ) from None
    # NAMEDATALEN - 1; the server would truncate the rest silently.
    if size > 63:  # noqa: PLR2004
        raise UsageError(
            f"the database name takes {size} bytes and PostgreSQL keeps only 63",
            hint="choose a shorter name",
        )


async def _found(connection: AsyncConnection, name: str) -> dict[str, Any] | None:
    row = (await connection.execute(FOUND, {"name": name})).mappings().first()
    return dict(row) if row is not None else None


async def _created(
    connection: AsyncConnection,
    name: str,
    template: str,
    wanted: dict[str, str | None],
) -> bool:
    """Create it; False when somebody else was faster."""
    options = [f"TEMPLATE {quoted_identifier(template)}"]
    if wanted["owner"]:
        options.append(f"OWNER {quoted_identifier(wanted['owner'])}")
    options += [
        f"{option.upper()} {quoted_literal(value)}"
        for option in ("encoding", "locale")
        if (value := wanted[option])
    ]
    statement = f"CREATE DATABASE {quoted_identifier(name)} {' '.join(options)}"
    try:
        await connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if sqlstate(error) not in _EXISTS or await _found(connection, name) is None:
            raise
        return False
    return True


async def _differences(
    connection: AsyncConnection, name: str, wanted: dict[str, str | None]
) -> tuple[Difference, ...]:
    actual = await _found(connection, name)
    if actual is None:
        raise RefusedError(
            f"the database {name!r} was dropped while it was being created",
            hint="find out who drops it, and try again",
        )
    differences = [
        Difference(name=what, wanted=value, actual=actual[what])
        for what, value in wanted.items()
        if value is not None and _plain(value) != _plain(actual[what])
    ]
    if not actual["allows_connections"]:
        differences.append(
            Difference(name="allow_connections", wanted="true", actual="false")
        )
    return tuple(differences)


def _plain(value: str) -> str:
    """Let `utf-8` equal `UTF8`, and `en_US.utf8` equal `en_US.UTF-8`."""
    return value.replace("-", "").casefold()


async def _add_extensions(
    connectors: Connectors, database: str, names: Sequence[str]
) -> tuple[str, ...]:
    if not names:
        return ()
    connector = connectors.connector("admin", database=database, is_ddl=True)
    added = []
    async with ddl_connection(connector, autocommit=True) as connection:
        result = await connection.execute(EXTENSIONS, {"names": list(names)})
        existing = set(result.scalars())
        for name in names:
            if name not in existing and await _extension_added(connection, name):
                added.append(name)  # noqa: PERF401 # each waits for the one before it
    return tuple(added)


async def _extension_added(connection: AsyncConnection, name: str) -> bool:
    statement = f"CREATE EXTENSION IF NOT EXISTS {quoted_identifier(name)} CASCADE"
    try:
        await connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if sqlstate(error) in _EXISTS:
            return False
        if sqlstate(error) in ("0A000", "22023", "58P01"):
            raise RefusedError(
                f"the extension {name!r} is not installed on the server",
                hint="install its package there, or leave it out",
                sqlstate=sqlstate(error),
            ) from error
        raise
    return True
