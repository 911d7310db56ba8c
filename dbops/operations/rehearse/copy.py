"""How does a database on the throw-away server become like the real one?"""

from dataclasses import replace

from pydantic import SecretStr

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, Connector, Connectors
from dbops.engine.quoting import quoted_identifier, quoted_literal
from dbops.errors import ConfigError, DbopsError, FailedError
from dbops.operations.rehearse.original import Original, Version
from dbops.settings import Settings

_MAINTENANCE = "template1"
_NAME = "rehearsal"

_AVAILABLE = "SELECT name::text FROM pg_catalog.pg_available_extensions"
_ROLES = "SELECT rolname::text FROM pg_catalog.pg_roles"
# A revision that reads a foreign table must not reach another real server.
# https://www.postgresql.org/docs/current/view-pg-user-mappings.html
_MAPPINGS = """
SELECT usename::text AS role, srvname::text AS server
  FROM pg_catalog.pg_user_mappings
"""


def settings_for(settings: Settings, endpoint: Endpoint) -> Settings:
    """Return the same settings for another database, whatever else names one."""
    elsewhere: dict[str, object] = {
        field: None
        for field in Settings.model_fields
        if field.startswith(("database_", "db_"))
    }
    elsewhere["database_url"] = SecretStr(endpoint.url(show_password=True))
    elsewhere |= {"auth": "password", "ddl_retries": 0}
    # for_tenant forgets where the tenant is.
    return settings.for_tenant().model_copy(update=elsewhere).bound()


async def empty_database(settings: Settings, place: Endpoint) -> Endpoint:
    """Make a database that holds at most a tenant's schema; return how to reach it.

    Args:
        settings: What the user said, for its time-outs.
        place: The throw-away server, as its superuser.

    Raises:
        DbopsError: As `Connector.session`.
    """
    endpoint = await _made(settings, place, _NAME, place)
    if settings.tenant_schema is not None:
        async with _connector(settings, endpoint).session() as connection:
            schema = quoted_identifier(settings.tenant_schema)
            await connection.execute(f"CREATE SCHEMA {schema}")
    return endpoint


async def copied_database(
    settings: Settings, place: Endpoint, original: Original
) -> Endpoint:
    """Make a database with the original's name and roles, and nothing in it.

    Every role may do everything here.

    Raises:
        ConfigError: If the throw-away server lacks an extension.
        DbopsError: As `Connector.session`.
    """
    admin = place.with_database(_MAINTENANCE)
    async with _connector(settings, admin).session() as connection:
        await _check_extensions(connection, original)
        await _make_roles(connection, original, place)
    endpoint = replace(place, user=original.role)
    endpoint = await _made(settings, place, original.database, endpoint)
    if original.search_path is not None:
        async with _connector(settings, admin).session() as connection:
            await connection.execute(
                f"ALTER DATABASE {quoted_identifier(original.database)} "
                f"SET search_path = {original.search_path}"
            )
    return endpoint


async def fill(settings: Settings, endpoint: Endpoint, script: str) -> None:
    """Give a new database the original's schema.

    Raises:
        FailedError: If the schema cannot be made there.
        DbopsError: As `Connector.session`.
    """
    connector = _connector(settings, endpoint)
    try:
        async with connector.session() as connection:
            await connection.execute(script)
    except DbopsError as error:
        raise FailedError(
            f"the schema cannot be copied to the throw-away server: {error.message}",
            hint="set DBOPS_PG_BIN to server programs that have what it lacks",
            phase="copy",
            sqlstate=error.sqlstate,
        ) from error
    async with connector.session() as connection:
        for mapping in await connection.fetch(_MAPPINGS):
            role = mapping["role"]
            whose = "PUBLIC" if role == "public" else quoted_identifier(role)
            server = quoted_identifier(mapping["server"])
            await connection.execute(f"DROP USER MAPPING FOR {whose} SERVER {server}")


async def put_version(settings: Settings, endpoint: Endpoint, version: Version) -> None:
    """Give the copy the original's version.

    Raises:
        DbopsError: As `Connector.session`.
    """
    async with _connector(settings, endpoint).session() as connection:
        await connection.executemany(
            f"INSERT INTO {version.table} (version_num) VALUES ($1)",  # noqa: S608 # quoted
            [(revision,) for revision in version.revisions],
        )


async def _made(
    settings: Settings, place: Endpoint, name: str, endpoint: Endpoint
) -> Endpoint:
    quoted = quoted_identifier(name)
    admin = place.with_database(_MAINTENANCE)
    async with _connector(settings, admin).session() as connection:
        await connection.execute(f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {quoted} TEMPLATE template0")
    return endpoint.with_database(name)


async def _check_extensions(connection: Connection, original: Original) -> None:
    available = {row[0] for row in await connection.fetch(_AVAILABLE)}
    lacking = sorted(set(original.extensions) - available)
    if lacking:
        raise ConfigError(
            f"the throw-away server lacks extensions of the database: "
            f"{', '.join(lacking)}",
            hint="set DBOPS_PG_BIN to the bin folder of a PostgreSQL that has them",
            phase="copy",
        )


async def _make_roles(
    connection: Connection, original: Original, place: Endpoint
) -> None:
    """Make every role by name, so that env.py and revisions can name them.

    Privileges are not copied, so that each of them has to have all.
    """
    known = {row[0] for row in await connection.fetch(_ROLES)}
    for role in sorted({*original.roles, original.role} - known):
        await connection.execute(f"CREATE ROLE {quoted_identifier(role)} SUPERUSER")
    if original.role != place.user and place.password is not None:
        password = quoted_literal(place.password.get_secret_value())
        await connection.execute(
            f"ALTER ROLE {quoted_identifier(original.role)} LOGIN PASSWORD {password}"
        )


def _connector(settings: Settings, endpoint: Endpoint) -> Connector:
    return Connectors(settings_for(settings, endpoint)).connector("writer", is_ddl=True)
