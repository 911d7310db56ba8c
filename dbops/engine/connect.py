"""One driver connection: hosts, rotated passwords, time-outs, the role asked for.

Everything that touches a server comes through here: the probes by `Connector.session`,
SQLAlchemy's engines by `async_creator`.
"""

from dataclasses import replace

from dbops import __version__
from dbops.credentials import Credentials, SecretStore
from dbops.endpoint import Endpoint, Role
from dbops.engine.dialling.connector import Connector, Dialled
from dbops.engine.dialling.driver import CLOSE_TIMEOUT_S, Connection, close
from dbops.engine.dialling.options import ConnectOptions
from dbops.engine.quoting import quoted_identifier
from dbops.settings import Aws, Settings

__all__ = [
    "CLOSE_TIMEOUT_S",
    "ConnectOptions",
    "Connection",
    "Connector",
    "Connectors",
    "Dialled",
    "close",
    "connect",
]

# Whoever bounds the whole command has to hear which host was silent before that, the
# time that closing takes included.
_SHARE_OF_BUDGET = 0.8


class Connectors:
    """The connectors of one program: they share the secrets that were read.

    Args:
        settings: What the user said.
        stores: Shared by programs of several targets, so that each secret is asked
            for once; filled here.
    """

    def __init__(
        self, settings: Settings, *, stores: dict[Aws, SecretStore] | None = None
    ) -> None:
        self.settings = settings
        stores = {} if stores is None else stores
        if settings.aws not in stores:
            stores[settings.aws] = SecretStore(settings.aws)
        self._secrets = stores[settings.aws]

    def connector(
        self,
        role: Role,
        *,
        database: str | None = None,
        is_ddl: bool = False,
        keeps_statements: bool = False,
        is_url_followed: bool = False,
    ) -> Connector:
        """Return how to connect to `role`.

        Args:
            role: Which endpoint.
            database: Another database on the same server.
            is_ddl: For statements that take as long as they take: no time-out on our
                side, only the server's own and the socket's keepalive.
            keeps_statements: For sessions that are used again and again.
            is_url_followed: Use the driver that the URL names, and not always asyncpg.

        Raises:
            ConfigError: If nothing says where the endpoint is.
        """
        access = self.settings.access(role)
        if database is not None:
            access = access._replace(own=(Endpoint(database=database), *access.own))
        credentials = Credentials(access, self._secrets)
        driver = credentials.driver if is_url_followed else None
        options = replace(
            self._options(is_ddl=is_ddl),
            keeps_statements=keeps_statements,
            driver=driver or "asyncpg",
        )
        return Connector(credentials, options)

    def connector_to(self, endpoint: Endpoint, *, role: Role = "writer") -> Connector:
        """Return how to connect to a complete endpoint, with the same time-outs."""
        credentials = Credentials.known(endpoint, role)
        return Connector(credentials, self._options(is_ddl=False))

    def _options(self, *, is_ddl: bool) -> ConnectOptions:
        settings = self.settings
        timeouts = {
            "statement_timeout": settings.statement_timeout,
            # DDL has its own, which is set once its migrator may begin.
            "lock_timeout": None if is_ddl else settings.lock_timeout,
        }
        parameters = {
            name: f"{round(value_s * 1000)}ms"
            for name, value_s in timeouts.items()
            if value_s is not None
        }
        if settings.tenant_schema is not None:
            parameters["search_path"] = quoted_identifier(settings.tenant_schema)
        return ConnectOptions(
            application_name=settings.application_name,
            connect_timeout_s=settings.connect_timeout,
            command_timeout_s=None if is_ddl else settings.command_timeout,
            server_settings=parameters,
            max_timeout_s=settings.timeout and settings.timeout * _SHARE_OF_BUDGET,
        )


async def connect(
    endpoint: Endpoint,
    *,
    application_name: str = f"dbops/{__version__}",
    connect_timeout_s: float = 5.0,
    command_timeout_s: float | None = 10.0,
) -> Connection:
    """Open one connection to a complete endpoint; the caller closes it.

    Raises:
        DbopsError: As `Connector.__call__`.
    """
    options = ConnectOptions(application_name, connect_timeout_s, command_timeout_s)
    return await Connector(Credentials.known(endpoint), options)()
