"""To which host, with which password, and within what time?"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import cast

from dbops.credentials import Credentials
from dbops.endpoint import Address, Endpoint, SessionAttrs
from dbops.engine.dialling.dial import Call, dial
from dbops.engine.dialling.driver import BoundedConnection, Connection, close
from dbops.engine.dialling.hosts import Verdict, judged, may_try_next, nowhere
from dbops.engine.dialling.options import ConnectOptions
from dbops.engine.dialling.tls import tls_attempts
from dbops.engine.faults.translate import INVALID_PASSWORD, translate, translated
from dbops.errors import CredentialsError, DbopsError
from dbops.frames import without_frames

_SHARE_FOR_ROTATION = 0.4


@dataclass(frozen=True, slots=True)
class Dialled:
    """A connection, and how it came about."""

    connection: Connection
    endpoint: Endpoint
    """Where it leads: `address` is its only one."""
    address: Address
    """Which of the endpoint's addresses answered."""
    latency_ms: Mapping[str, float]
    """Phase → milliseconds: resolve, connect, tls, auth; a phase not run is absent."""

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS session; None for plain text."""
        transport = self.connection._transport  # type: ignore[attr-defined] # noqa: SLF001 # asyncpg shows it nowhere else
        found: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        return found


class Connector:
    """Opens connections to one endpoint: to its first host that fits.

    Args:
        credentials: Who is asked for the endpoint and its password.
        options: How to connect.
    """

    def __init__(
        self, credentials: Credentials, options: ConnectOptions | None = None
    ) -> None:
        self.role = credentials.role
        self._credentials = credentials
        self.options = options or ConnectOptions()
        self._is_pooled = False
        self._only: tuple[Address, SessionAttrs] | None = None

    def to(self, address: Address, wanted: SessionAttrs = "any") -> "Connector":
        """Return a connector to one of the endpoint's hosts.

        Args:
            address: Which host.
            wanted: Which role it has to have.
        """
        other = Connector(self._credentials, self.options)
        other._only = address, wanted  # our own copy
        return other

    @property
    def is_pooled(self) -> bool:
        """Whether a pooler stands between, as far as a connection has shown."""
        return self._is_pooled

    async def __call__(self) -> Connection:
        """Open one connection; the caller closes it.

        Raises:
            ConfigError: If settings or secrets are wrong.
            CredentialsError: If the server refuses the user or the password.
            UnreachableError: If no host answers in time, or it is starting or full.
            RefusedError: If the database is missing, or no host has the role asked for.
        """
        return (await self.dial()).connection

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Connection]:
        """Open a connection for the block, translate its errors, close it.

        Raises:
            DbopsError: As `__call__`, and the translation of whatever a statement
                raises inside the block.
        """
        async with self.dialled() as dialled:
            yield dialled.connection

    @asynccontextmanager
    async def dialled(self) -> AsyncGenerator[Dialled]:
        """As `session`, and say which host answered and how long each phase took.

        Raises:
            DbopsError: As `session`.
        """
        dialled = await self.dial()
        try:
            with translated(dialled.endpoint):
                yield dialled
        finally:
            await close(dialled.connection)

    async def dial(self) -> Dialled:
        """Open one connection and say how long each phase took.

        Raises:
            DbopsError: As `__call__`.
        """
        endpoint = await self.endpoint()
        try:
            return await self._first_that_fits(endpoint)
        except DbopsError as error:
            is_login = isinstance(error, CredentialsError)
            if not is_login and error.sqlstate not in INVALID_PASSWORD:
                raise
            # The password may have been rotated since the secret was read.
            renewed = await self._credentials.refreshed(endpoint)
            if renewed is None:
                limit_s = self.options.connect_limit_s(endpoint) * _SHARE_FOR_ROTATION
                renewed = await self._credentials.awaited(endpoint, limit_s=limit_s)
            if renewed is None:
                raise
        return await self._first_that_fits(self._narrowed(renewed))

    async def endpoint(self) -> Endpoint:
        """Return the endpoint with everything that is known about it.

        Raises:
            ConfigError: If settings or secrets are wrong.
            UnreachableError: If the secret store gives no answer in time.
        """
        return self._narrowed(await self._credentials.endpoint())

    def _narrowed(self, endpoint: Endpoint) -> Endpoint:
        if self._only is None:
            return endpoint
        address, wanted = self._only
        return replace(endpoint, addresses=(address,), target_session_attrs=wanted)

    async def login(self) -> Endpoint:
        """Return the endpoint with a password for one connection of another driver.

        Raises:
            ConfigError: If settings or secrets are wrong.
            UnreachableError: If AWS gives no answer in time.
        """
        endpoint = await self.endpoint()
        address = endpoint.addresses[0]
        password = await self._credentials.password(endpoint, address)
        return replace(endpoint, password=password)

    async def _first_that_fits(self, endpoint: Endpoint) -> Dialled:
        """Try the hosts one after another, each with its own time-out."""
        failures: list[DbopsError] = []
        others: list[Address] = []
        for address in endpoint.addresses:
            try:
                dialled = await self._dial(endpoint, address)
            except DbopsError as error:
                if not may_try_next(error):
                    raise
                failures.append(error)
                continue
            if dialled is not None:
                return dialled
            others.append(address)
        if others and endpoint.target_session_attrs == "prefer-standby":
            anyone = replace(
                endpoint, addresses=tuple(others), target_session_attrs="any"
            )
            return await self._first_that_fits(anyone)
        raise nowhere(self.role, endpoint.target_session_attrs, failures)

    async def _dial(self, endpoint: Endpoint, address: Address) -> Dialled | None:
        """Connect to one host; None when it has another role than the one wanted."""
        options = self.options
        here = replace(endpoint, addresses=(address,))
        call = Call(
            address=address,
            user=endpoint.user,
            database=endpoint.database,
            password=await self._credentials.password(endpoint, address),
            attempts=tls_attempts(endpoint, address),
            timeout_s=options.connect_limit_s(endpoint),
            command_timeout_s=options.command_limit_s(),
            server_settings=options.settings_for(endpoint),
            keeps_statements=options.keeps_statements and not self._is_pooled,
        )
        deadline = asyncio.get_running_loop().time() + call.timeout_s
        with _translated(call, here):
            connection = await self._opened(call, here)
            connection.close_limit_s = options.close_limit_s()
            verdict = await judged(
                connection,
                endpoint.target_session_attrs,
                deadline=deadline,
                may_be_pooled=not call.keeps_statements,
            )
        if verdict is Verdict.POOLED:
            self._is_pooled = True
            return await self._dial(endpoint, address)
        dialled = Dialled(connection, here, address, call.phases.spent_ms)
        return dialled if verdict is Verdict.FITS else None

    async def _opened(self, call: Call, here: Endpoint) -> BoundedConnection:
        try:
            if self.options.driver == "asyncpg":
                return await dial(call)
            # Imported here: asyncpg alone is what dbops needs.
            from dbops.engine.dialling import psycopg_dial  # noqa: PLC0415

            # It has all that is asked of a connection before it is SQLAlchemy's.
            return cast("BoundedConnection", await psycopg_dial.dial(call, here))
        except BaseException as error:
            # They hold the password, and a socket on which the server still waits.
            without_frames(error)
            raise


@contextmanager
def _translated(call: Call, endpoint: Endpoint) -> Generator[None]:
    """Translate what connecting raises, for the phase that it was in."""
    try:
        yield
    except Exception as error:
        phase, limit_s = call.phases.phase, call.timeout_s
        fault = translate(error, endpoint, phase=phase, limit_s=limit_s)
        if fault is None:
            raise
        raise fault from error
