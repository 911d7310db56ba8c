"""What dbops lends to an env.py: its address, or a connection.

An env.py of Alembic's own templates builds an engine from `sqlalchemy.url`. Where that
is missing, or still the template's placeholder, the engine is made with a URL that
holds nothing but the driver, and the rest, the password included, is filled in when
the driver connects: no URL ever holds it.
"""

import importlib.util
import re
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, Engine, event

from dbops.credentials import Credentials
from dbops.endpoint import Endpoint
from dbops.engine import connect
from dbops.engine.connect import Connector, Connectors
from dbops.errors import ConfigError, DbopsError
from dbops.operations.migrate.project import Project

CONNECTOR = "dbops.connector"
"""The attribute in which the env.py of `dbops init` finds how to connect."""


# What says where, and as whom: the rest of env.py's connect_args stays its own.
_PLACE = frozenset(
    {"host", "hostaddr", "port", "user", "password", "dbname", "database", "dsn"}
    | {"conninfo", "service", "passfile", "ssl", "sslmode", "sslrootcert", "sslcert"}
    | {"sslkey", "sslcrl", "target_session_attrs", "async_creator_fn"}
)
_SYNC_DRIVERS = ("psycopg", "psycopg2")


class Wanted(BaseException):
    """Leaves an env.py that needs to be lent a connection."""


class Place(NamedTuple):
    """Where dbops itself would migrate; nowhere, when nothing says so."""

    found: Connector | None
    endpoint: Endpoint | None
    is_binding: bool
    """Whether every connection of env.py has to lead here."""
    missing: DbopsError | None = None

    @classmethod
    async def of(cls, connectors: Connectors, project: Project) -> Self:
        """Resolve the role `migration`, the password included.

        The connector returned belongs to no event loop: it knows everything.

        Raises:
            ConfigError: If settings or secrets are wrong.
            UnreachableError: If AWS gives no answer in time.
        """
        # What a named target or a tenant is asked for must not come from elsewhere.
        is_bound = connectors.settings.is_bound
        try:
            connector = connectors.connector("migration", is_ddl=True)
        except ConfigError as error:
            return cls(None, None, is_bound, error)
        try:
            endpoint = await connector.login()
        except DbopsError as error:
            if project.endpoint is None or is_bound:
                raise
            return cls(None, None, is_bound, error)
        known = Connector(Credentials.known(endpoint), connector.options)
        return cls(known, endpoint, is_bound)

    def led_to(self, project: Project) -> Endpoint | None:
        """Return where env.py leads before it has said so itself; None: unknown."""
        own = None if self.is_binding else project.endpoint
        return own or self.endpoint

    @property
    def connector(self) -> Connector:
        """How to connect there.

        Raises:
            ConfigError: If nothing says where.
        """
        if self.found is None:
            assert self.missing is not None  # one of the two  # noqa: S101
            raise self.missing
        return self.found


class Attributes(dict[Any, Any]):
    """`config.attributes` of Alembic, which notices who needs a connection.

    Args:
        attributes: The project's own.
        place: Where a connection can be had.
        lent: The connection that is lent; None to lend none yet.
    """

    def __init__(
        self, attributes: dict[Any, Any], place: Place, lent: Connection | None
    ) -> None:
        super().__init__(attributes)
        if place.found is not None:
            self[CONNECTOR] = place.found
        if lent is not None:
            self["connection"] = lent

    def __missing__(self, name: object) -> object:
        """Notice an env.py that cannot do without; one that asks first, can.

        Raises:
            Wanted: If a connection is wanted.
            KeyError: For any other name.
        """
        if name == "connection":
            raise Wanted
        raise KeyError(name)


@contextmanager
def filled_in(project: Project, place: Place) -> Generator[None]:
    """Let engines without an address lead to `place` for the block.

    Raises:
        ConfigError: If env.py is synchronous and no synchronous driver is installed.
    """
    if place.found is None or (project.endpoint is not None and not place.is_binding):
        yield
        return
    if project.endpoint is None:
        driver = "asyncpg" if project.is_async else _sync_driver()
        project.config.set_main_option("sqlalchemy.url", f"postgresql+{driver}://")

    def fill(
        dialect: Any,  # noqa: ANN401 # SQLAlchemy's event
        _record: object,
        arguments: list[Any],
        keywords: dict[str, Any],
    ) -> None:
        if not place.is_binding and (keywords.get("host") or any(arguments)):
            return  # an engine with a URL of its own
        arguments.clear()
        parameters = _parameters(dialect.driver, place, keywords)
        keywords.clear()
        keywords.update(parameters)

    event.listen(Engine, "do_connect", fill)
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _SYNC_DRIVERS:
            raise
        raise ConfigError(
            "this project's env.py needs a synchronous driver and none is installed",
            hint="pip install 'dbops[psycopg]', or let env.py borrow dbops' connection",
            phase="settings",
        ) from error
    finally:
        event.remove(Engine, "do_connect", fill)


def _sync_driver() -> str:
    """Return one that is installed; an env.py that borrows does without any."""
    for driver in _SYNC_DRIVERS:
        if importlib.util.find_spec(driver) is not None:
            return driver
    return _SYNC_DRIVERS[0]


def _parameters(
    driver: str, place: Place, theirs: Mapping[str, Any]
) -> dict[str, object]:
    """Return what the driver's connect() takes: our place, env.py's own settings."""
    assert place.endpoint is not None  # `found` has one  # noqa: S101
    if driver == "asyncpg":
        settings = theirs.get("server_settings") or {}
        return {"async_creator_fn": _creator(place.connector, place.endpoint, settings)}
    ours = _libpq_parameters(place.connector, place.endpoint)
    options = [theirs.get("options"), ours.get("options")]
    kept = {name: value for name, value in theirs.items() if name not in _PLACE}
    return {**kept, **ours, "options": " ".join(str(it) for it in options if it)}


def _creator(
    connector: Connector, endpoint: Endpoint, settings: Mapping[str, str]
) -> Callable[..., Awaitable[connect.Connection]]:
    options = connector.options
    settings = {**settings, **options.server_settings}
    known = Connector(
        Credentials.known(endpoint), replace(options, server_settings=settings)
    )

    async def connected(**_: object) -> connect.Connection:
        return await known()

    return connected


def _libpq_parameters(connector: Connector, endpoint: Endpoint) -> dict[str, object]:
    """Return the place as libpq spells it.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    """
    options = connector.options
    password = endpoint.password
    said = [
        f"-c {name}={_escaped(value)}"
        for name, value in options.server_settings.items()
    ]
    parameters: dict[str, object | None] = {
        "host": ",".join(address.host for address in endpoint.addresses),
        "port": ",".join(str(address.port) for address in endpoint.addresses),
        "user": endpoint.user,
        "password": password.get_secret_value() if password else None,
        "dbname": endpoint.database,
        "sslmode": endpoint.sslmode,
        "sslrootcert": endpoint.sslrootcert,
        "sslcert": endpoint.sslcert,
        "sslkey": endpoint.sslkey,
        "target_session_attrs": endpoint.target_session_attrs,
        "application_name": endpoint.application_name or options.application_name,
        "connect_timeout": max(2, round(options.connect_timeout_s)),
        "options": " ".join([*([endpoint.options] if endpoint.options else []), *said]),
    }
    return {name: value for name, value in parameters.items() if value}


def _escaped(value: str) -> str:
    """Keep a value of `options` together.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-OPTIONS
    """
    return re.sub(r"([\\\s])", r"\\\1", value)
