"""The engines of one program: writer and reader, made lazily over `connect`."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal, Self

from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from dbops.endpoint import Role
from dbops.engine.borrowed import borrowed_connection, borrowed_session
from dbops.engine.connect import Connectors
from dbops.engine.context import TAKE_SNAPSHOT, Context
from dbops.engine.fair_pool import FairPool, PoolState
from dbops.engine.faults import sqlstate
from dbops.engine.guard import guarded, refuse_unguarded
from dbops.engine.made import engine_over
from dbops.engine.token import Token, has_replayed, taken
from dbops.errors import ReadOnlyError, StaleReaderError, UsageError
from dbops.settings import Settings
from dbops.units import seconds

Otherwise = Literal["writer", "error"]
"""What to do where the reader has not caught up."""

# The reader begins REPEATABLE READ, READ ONLY: all statements of a transaction see one
# snapshot, and a write that was meant for the writer fails at once, also where writer
# and reader are the same server. (SERIALIZABLE is refused on a standby.)
_FOR_READING = "dbops_for_reading"
_WRITER = {"isolation_level": "READ COMMITTED"}
_READER = {
    "isolation_level": "REPEATABLE READ",
    "postgresql_readonly": True,
    _FOR_READING: True,
}
_AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}
_READING_ALONE = {**_AUTOCOMMIT, _FOR_READING: True}
_READ_ONLY = "25006"


class Database:
    """A writer and its reader, for an application or a command.

    Nothing connects before the first use; each engine is made once. A database belongs
    to one process and to one event loop: make one in each.

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
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None

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
        """Open a session on the writer; what is not committed is rolled back.

        Raises:
            TransactionAbortedError: By `commit`, if a statement had failed before.
            CommitUnknownError: By `commit`, if nobody answers it.
            UsageError: If this database belongs to another event loop or process.
        """
        self._stay_home()
        async with borrowed_session(self.engine("writer")) as session:
            yield session

    @asynccontextmanager
    async def reader(
        self,
        *,
        after: Token | None = None,
        wait: str | float = "200ms",
        otherwise: Otherwise = "writer",
        autocommit: bool = False,
    ) -> AsyncGenerator[AsyncSession]:
        """Open a session on the reader: one snapshot, read only.

        Args:
            after: See at least what was committed when this token was taken.
            wait: How long the reader may take to get there, with a unit or in seconds.
            otherwise: What to do if it has not: read from the writer (still read only),
                or raise.
            autocommit: Let each statement stand by itself, with a snapshot of its own:
                one round trip instead of three (on the reader; a writer that stands
                in for it keeps one snapshot).

        Raises:
            StaleReaderError: If the reader is behind `after` and `otherwise` is
                `error`.
            ReadOnlyError: By a statement that writes.
            RefusedError: If `autocommit` is asked for behind a pooler, where nothing
                would keep such a statement from writing.
            UsageError: If this database belongs to another event loop or process.
        """
        self._stay_home()
        if after is None and not autocommit:
            engine = self.engine("reader")
            async with borrowed_session(engine, autoflush=False) as session:
                yield session
            return
        async with AsyncExitStack() as stack:
            connection = await self._caught_up(stack, after, wait, otherwise)
            is_alone = autocommit and connection.engine is self.engine("reader")
            if is_alone:
                await refuse_unguarded(connection)
            mode = _READING_ALONE if is_alone else _READER
            await connection.execution_options(**mode)
            yield await stack.enter_async_context(
                borrowed_session(connection, autoflush=False)
            )

    @asynccontextmanager
    async def context(self) -> AsyncGenerator[Context]:
        """Open a reader, whose snapshot is taken at once, and a writer.

        The writer is committed when the block ends well, and rolled back when it
        raises; both connections are returned in any case. What is committed after
        entering, by this writer too, is not seen by the reader.

        Raises:
            TransactionAbortedError: If a statement of the writer had failed, and
                somebody had caught its error.
            CommitUnknownError: If nobody answers COMMIT.
            UsageError: As `writer`.
        """
        async with self.reader() as reader, self.writer() as writer:
            await reader.execute(TAKE_SNAPSHOT)
            yield Context(writer=writer, reader=reader)
            await writer.commit()

    async def token(self) -> Token:
        """Take the writer's position: what was committed before it is up to it.

        Raises:
            UsageError: As `writer`.
        """
        self._stay_home()
        async with borrowed_connection(self.engine("writer")) as connection:
            await connection.execution_options(**_AUTOCOMMIT)
            return await taken(connection)

    async def warm(self) -> None:
        """Open every connection that the pools keep, all at once.

        Raises:
            DbopsError: If a server cannot be reached or refuses.
            UsageError: As `writer`.
        """
        self._stay_home()
        roles: list[Role] = ["writer"]
        if self.settings.has_reader:
            roles.append("reader")
        async with AsyncExitStack() as stack:
            await asyncio.gather(
                *(
                    stack.enter_async_context(borrowed_connection(self.engine(role)))
                    for role in roles
                    for _ in range(self.settings.pool_size)
                )
            )

    async def dispose(self) -> None:
        """Close every pooled connection; the next use opens new ones."""
        engines, self._engines = self._engines, {}
        self._home = None
        # At once: each connection to a silent server takes its time to end.
        await asyncio.gather(*(engine.dispose() for engine in engines.values()))

    async def _caught_up(
        self,
        stack: AsyncExitStack,
        after: Token | None,
        wait: str | float,
        otherwise: Otherwise,
    ) -> AsyncConnection:
        """Take a connection to the reader, or to the writer where it is too late."""
        limit_s = wait if isinstance(wait, float) else seconds(wait)
        async with AsyncExitStack() as reading:
            connection = await reading.enter_async_context(
                borrowed_connection(self.engine("reader"))
            )
            await connection.execution_options(**_AUTOCOMMIT)
            is_there = after is None or await has_replayed(connection, after, limit_s)
            await connection.rollback()
            if is_there or otherwise == "error":
                stack.push_async_exit(reading.pop_all())
        if not is_there and otherwise == "error":
            raise StaleReaderError(f"the reader has not caught up within {limit_s:g} s")
        if is_there:
            return connection
        return await stack.enter_async_context(
            borrowed_connection(self.engine("writer"))
        )

    def pool(self, role: Role) -> PoolState:
        """Return what the pool of `role` holds at this moment, in this process.

        Raises:
            ConfigError: As `engine`.
        """
        pool = self.engine(role).pool
        assert isinstance(pool, FairPool)  # as `_made` has it  # noqa: S101
        return pool.state

    def _made(self, role: Role) -> AsyncEngine:
        settings = self.settings
        connector = self.connectors.connector(role, keeps_statements=True)
        engine = engine_over(
            guarded(connector) if role == "reader" else connector,
            execution_options=_READER if role == "reader" else _WRITER,
            poolclass=FairPool,
            pool_size=settings.pool_size,
            max_overflow=settings.max_overflow,
            pool_timeout=settings.pool_timeout,
            pool_recycle=-1
            if settings.pool_recycle is None
            else round(settings.pool_recycle),
            pool_pre_ping=True,
        )
        event.listen(engine.sync_engine, "handle_error", _judge)
        return engine

    def _stay_home(self) -> None:
        """Refuse another event loop or process: its sockets would serve two masters."""
        here = (os.getpid(), asyncio.get_running_loop())
        if self._home is None:
            self._home = here
        if self._home != here:
            whose = "process" if self._home[0] != here[0] else "event loop"
            raise UsageError(
                f"this Database belongs to another {whose}",
                hint="make one Database in each process and event loop",
            )


def _judge(failure: ExceptionContext) -> None:
    """Tell a write that was meant for the writer from a writer that is one no more.

    After a failover that keeps connections open, they lead to a standby.

    Raises:
        ReadOnlyError: If the session was for reading.
    """
    if sqlstate(failure.original_exception) != _READ_ONLY:
        return
    options = failure.connection.get_execution_options() if failure.connection else {}
    if options.get(_FOR_READING):
        raise ReadOnlyError from failure.original_exception
    failure.is_disconnect = True
