"""The engines of one program: writer and reader, made lazily over `connect`."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)
from sqlalchemy.pool import NullPool

from dbops.endpoint import Address, Role
from dbops.engine.connect import (
    Connection,
    Connector,
    Connectors,
    close,
)
from dbops.engine.faults import translated
from dbops.errors import UnreachableError
from dbops.settings import Settings

# The reader begins REPEATABLE READ, READ ONLY: all statements of a transaction see one
# snapshot, and a write that was meant for the writer fails at once, also where writer
# and reader are the same server. (SERIALIZABLE is refused on a standby.)
_WRITER = {"isolation_level": "READ COMMITTED"}
_READER = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

Creator = Callable[[], Awaitable[Connection]]
_FIRST_QUESTIONS_S = 10.0


class Database:
    """A writer and its reader, for an application or a command.

    Nothing connects before the first use; each engine is made once.

    Args:
        settings: What the user said.

    Example:
        async with Database(load_settings()) as database:
            async with database.writer() as session:
                session.add(Article(title="…"))
                await session.commit()
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.connectors = Connectors(settings)
        self._engines: dict[Role, AsyncEngine] = {}

    async def __aenter__(self) -> Self:
        """Enter; nothing connects yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every pooled connection."""
        await self.dispose()

    def engine(self, role: Role) -> AsyncEngine:
        """Return the engine of `role`, made at the first call.

        Raises:
            ConfigError: If nothing says where the endpoint is.
        """
        if role not in self._engines:
            self._engines[role] = self._made(role)
        return self._engines[role]

    @asynccontextmanager
    async def writer(self) -> AsyncGenerator[AsyncSession]:
        """Open a session on the writer; what is not committed is rolled back."""
        async with AsyncSession(self.engine("writer"), expire_on_commit=False) as it:
            yield it

    @asynccontextmanager
    async def reader(self) -> AsyncGenerator[AsyncSession]:
        """Open a session on the reader: one snapshot, read only."""
        async with AsyncSession(
            self.engine("reader"), expire_on_commit=False, autoflush=False
        ) as it:
            yield it

    async def dispose(self) -> None:
        """Close every pooled connection; the next use opens new ones."""
        engines, self._engines = self._engines, {}
        # At once: each connection to a silent server takes its time to end.
        await asyncio.gather(*(engine.dispose() for engine in engines.values()))

    def _made(self, role: Role) -> AsyncEngine:
        settings = self.settings
        return _engine(
            self.connectors.connector(role, keeps_statements=True),
            execution_options=_READER if role == "reader" else _WRITER,
            pool_size=settings.pool_size,
            max_overflow=settings.max_overflow,
            pool_timeout=settings.pool_timeout,
            pool_recycle=-1
            if settings.pool_recycle is None
            else round(settings.pool_recycle),
            pool_pre_ping=True,
        )


@asynccontextmanager
async def ddl_connection(
    connector: Connector, *, autocommit: bool = False
) -> AsyncGenerator[AsyncConnection]:
    """Open one SQLAlchemy connection of its own for DDL.

    Args:
        connector: Where to.
        autocommit: Run each statement by itself, as CREATE DATABASE has to be.

    Raises:
        DbopsError: If the server cannot be reached or refuses, and the translation of
            whatever a statement inside the block raises.
    """
    options = {"isolation_level": "AUTOCOMMIT"} if autocommit else _WRITER
    dialled = await connector.dial()

    async def creator() -> Connection:
        return dialled.connection

    engine = _engine(creator, execution_options=options, poolclass=NullPool)
    try:
        with translated(dialled.endpoint):
            limit_s = connector.options.max_timeout_s or _FIRST_QUESTIONS_S
            connection = await _opened(engine, dialled.address, limit_s)
            try:
                yield connection
            finally:
                await _closed(connection, connector.options.close_limit_s())
    finally:
        # Also when SQLAlchemy was interrupted: it ends in time, its statement too.
        await close(dialled.connection)
        await engine.dispose()


def _engine(creator: Creator, **options: Any) -> AsyncEngine:  # noqa: ANN401 # SQLAlchemy's own
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=creator,
        hide_parameters=True,
        **options,
    )


async def _opened(
    engine: AsyncEngine, address: Address, limit_s: float
) -> AsyncConnection:
    """Connect, with a bound on what SQLAlchemy asks the server first.

    The statements of DDL have none, and these come on the same connection.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await engine.connect()
    except TimeoutError:
        raise UnreachableError(
            f"{address} let us log in and then gave no answer within {limit_s:g} s",
            hint="check the server and any proxy in front of it",
            phase="query",
        ) from None


async def _closed(connection: AsyncConnection, limit_s: float) -> None:
    """Close, with a bound on the ROLLBACK that SQLAlchemy sends first."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await connection.close()
