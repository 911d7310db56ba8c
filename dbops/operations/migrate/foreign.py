"""Environments that open their own connection get ours where their ini names none.

An env.py of Alembic's own templates builds an engine from `sqlalchemy.url`. Where that
is missing, or still the template's placeholder, the engine is made with a URL that
holds nothing but the driver, and the rest, the password included, is filled in when
the driver connects: no URL ever holds it.
"""

import importlib.util
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, Connector
from dbops.errors import ConfigError
from dbops.operations.migrate.lock import NOTICE_DEATH
from dbops.operations.migrate.project import Project


@contextmanager
def lent_url(
    project: Project, connector: Connector, endpoint: Endpoint
) -> Generator[None]:
    """Fill in the project's database for the block.

    Raises:
        ConfigError: If env.py is synchronous and no synchronous driver is installed.
    """
    driver = "asyncpg" if project.is_async else _sync_driver()
    project.config.set_main_option("sqlalchemy.url", f"postgresql+{driver}://")
    parameters = _libpq_parameters(connector, endpoint)

    def fill(
        dialect: Any,  # noqa: ANN401 # SQLAlchemy's event
        _record: object,
        arguments: list[Any],
        keywords: dict[str, Any],
    ) -> None:
        if keywords.get("host") or any(arguments):
            return  # an engine with a URL of its own
        if dialect.driver == "asyncpg":
            keywords["async_creator_fn"] = _watched(connector)
        elif dialect.driver == driver:
            keywords.update(parameters)

    event.listen(Engine, "do_connect", fill)
    try:
        yield
    finally:
        event.remove(Engine, "do_connect", fill)


def _watched(connector: Connector) -> Callable[[], Awaitable[Connection]]:
    """Let the server notice soon when this process is killed."""

    async def connected() -> Connection:
        connection = await connector()
        await connection.execute(f"SET {NOTICE_DEATH}")
        return connection

    return connected


def _sync_driver() -> str:
    for driver in ("psycopg", "psycopg2"):
        if importlib.util.find_spec(driver) is not None:
            return driver
    raise ConfigError(
        "this project's env.py needs a synchronous driver and none is installed",
        hint="pip install 'dbops[psycopg]', or let env.py borrow dbops' connection",
        phase="settings",
    )


def _libpq_parameters(connector: Connector, endpoint: Endpoint) -> dict[str, object]:
    options = connector.options
    password = endpoint.password
    parameters: dict[str, object | None] = {
        "host": ",".join(address.host for address in endpoint.addresses),
        "port": ",".join(str(address.port) for address in endpoint.addresses),
        "user": endpoint.user,
        "password": password.get_secret_value() if password else None,
        "dbname": endpoint.database,
        "sslmode": endpoint.sslmode,
        "sslrootcert": endpoint.sslrootcert,
        "target_session_attrs": endpoint.target_session_attrs,
        "application_name": options.application_name,
        "connect_timeout": max(2, round(options.connect_timeout_s)),
        "options": " ".join(
            f"-c {setting}"
            for setting in (
                NOTICE_DEATH,
                *(f"{name}={value}" for name, value in options.server_settings.items()),
            )
        ),
    }
    return {name: value for name, value in parameters.items() if value}
