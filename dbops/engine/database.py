"""The engines of one program: writer and reader, made lazily over `connect`."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from functools import partial
from typing import Self

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from dbops.endpoint import Role
from dbops.engine.connect import Connectors
from dbops.engine.pooled.fair_pool import PoolState
from dbops.engine.pooled.standing import speak
from dbops.engine.sessions.borrowed import BorrowedSession, borrowed_connection
from dbops.engine.sessions.caught_up import Otherwise, caught_up, limit_of
from dbops.engine.sessions.context import Context
from dbops.engine.sessions.engines import AUTOCOMMIT, EACH_ALONE, ONE_SNAPSHOT, Engines
from dbops.engine.sessions.readers import Readers
from dbops.engine.sessions.token import FLUSHED, INSERTED, Token, taken
from dbops.errors import ConfigError, UsageError
from dbops.settings import Settings


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
        self._engines = Engines(self.connectors)
        self._parents: list[Engines] = []
        self._readers: Readers | None = None
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
        return self._engines.of(role)

    def each_engine(self, wish: Callable[[AsyncEngine], object]) -> None:
        """Do something with each engine, such as listening to its events.

        Args:
            wish: Called with those that are there, and with each that is made later:
                each of several readers has one.
        """
        self._engines.each(wish)

    def writer(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session on the writer; what is not committed is rolled back.

        Raises:
            TransactionAbortedError: By `commit`, if a statement had failed before.
            CommitUnknownError: By `commit`, if nobody answers it.
            UsageError: If this database belongs to another event loop or process.
        """
        self._stay_home()
        return BorrowedSession(self.engine("writer"))

    def reader(
        self,
        *,
        after: Token | None = None,
        wait: str | float = "200ms",
        otherwise: Otherwise = "writer",
        autocommit: bool = False,
    ) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session on the reader: one snapshot, read only.

        Args:
            after: See at least what was committed when this token was taken.
            wait: How long the reader may take to get there, with a unit or in seconds.
            otherwise: What to do if it has not: read from the writer (still read only),
                or raise.
            autocommit: Let each statement stand by itself, with a snapshot of its own:
                one round trip instead of three (on the reader; a writer that stands
                in for it keeps one snapshot). Nothing can be nested.

        Raises:
            ConfigError: If no reader is configured.
            StaleReaderError: If the reader is behind `after` and `otherwise` is
                `error`.
            NoReaderError: If no reader can be used, and nobody stands in.
            ReadOnlyError: By a statement that writes.
            RefusedError: If `autocommit` is asked for behind a pooler, where nothing
                would keep such a statement from writing.
            UsageError: If this database belongs to another event loop or process, or
                `wait` or `otherwise` makes no sense.
        """
        self._stay_home()
        limit_s = limit_of(wait, otherwise)
        if after is None and self._readers is not None and not self._readers.are_judged:
            return self._lazy(autocommit=autocommit)
        return self._chosen(after, limit_s, otherwise, autocommit=autocommit)

    def _lazy(self, *, autocommit: bool) -> BorrowedSession:
        """Return a session that connects at its first statement, and not before."""
        engines = self._engines
        engine = engines.reading_alone() if autocommit else engines.of("reader")
        return BorrowedSession(engine, autoflush=False)

    @asynccontextmanager
    async def _chosen(
        self,
        after: Token | None,
        limit_s: float,
        otherwise: Otherwise,
        *,
        autocommit: bool,
    ) -> AsyncGenerator[AsyncSession]:
        """Open a session on the reader that serves, or on who stands in."""
        readers = await self._spread()
        if after is None and not readers.are_judged:
            async with self._lazy(autocommit=autocommit) as session:
                yield session
            return
        mode = EACH_ALONE if autocommit else ONE_SNAPSHOT
        async with AsyncExitStack() as stack:
            if after is None:
                connection = await stack.enter_async_context(readers.connection(mode))
            else:
                connection = await caught_up(
                    stack,
                    readers,
                    after,
                    limit_s=limit_s,
                    otherwise=otherwise,
                    mode=mode,
                )
            yield await stack.enter_async_context(
                BorrowedSession(connection, autoflush=False)
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
            DbopsError: As `reader`.
        """
        async with self.reader() as reader, self.writer() as writer:
            await reader.run_sync(lambda session: speak(session.connection()))
            yield Context(writer, reader, self.token)
            await writer.commit()

    async def token(self) -> Token:
        """Take the writer's position: what was committed before it is up to it.

        Where it fails after a commit, what is committed stays so: give `Token(None)`,
        which no reader has, to whoever comes, and the writer serves.

        Raises:
            DbopsError: If the writer cannot be reached or refuses.
            DBAPIError: If its connection breaks.
            UsageError: As `writer`.
        """
        return await self._position(INSERTED)

    async def warm(self) -> None:
        """Open every connection that the pools keep, all at once.

        Raises:
            DbopsError: If a server cannot be reached or refuses.
            UsageError: As `writer`.
        """
        self._stay_home()
        engines = [self.engine("writer")]
        if self.settings.has_reader:
            engines += (await self._spread()).engines
        async with AsyncExitStack() as stack:
            opened = await asyncio.gather(
                *(
                    stack.enter_async_context(borrowed_connection(engine))
                    for engine in engines
                    for _ in range(self.settings.pool_size)
                ),
                # All of them, or one that comes late would not be returned.
                return_exceptions=True,
            )
        for it in opened:
            if isinstance(it, BaseException):
                raise it

    async def dispose(self) -> None:
        """Close every pooled connection; the next use opens new ones.

        In a forked process it leaves them alone: they are its parent's.
        """
        home, self._home, self._readers = self._home, None, None
        if home is not None and home[0] != os.getpid():
            # Not even to be collected: their loop shares its epoll with the parent's.
            self._parents.append(self._engines)
            self._engines = Engines(self.connectors)
        await self._engines.dispose()

    def pool(self, role: Role) -> PoolState:
        """Return what the pools of `role` hold at this moment, in this process."""
        return self._engines.pool(role)

    async def _spread(self) -> Readers:
        """Return what chooses among the readers, made at the first use."""
        if self._readers is None:
            if not self.settings.has_reader:
                raise ConfigError(
                    "no reader is configured",
                    hint="set DATABASE_READER_URL; where there is none, to the same as "
                    "DATABASE_URL: nothing is written through it",
                    phase="settings",
                )
            endpoint = await self.connectors.connector("reader").endpoint()
            # Another task may have been faster.
            if self._readers is None:
                self._readers = Readers(
                    self._engines,
                    endpoint,
                    self.settings,
                    partial(self._position, FLUSHED),
                )
        return self._readers

    async def _position(self, which: TextClause) -> Token:
        self._stay_home()
        async with borrowed_connection(self.engine("writer")) as connection:
            await connection.execution_options(**AUTOCOMMIT)
            return await taken(connection, which)

    def _stay_home(self) -> None:
        """Refuse another event loop or process: its sockets would serve two masters."""
        try:
            here = (os.getpid(), asyncio.get_running_loop())
        except RuntimeError:
            raise UsageError(
                "a Database lives in a running event loop of asyncio",
                hint="await its sessions in a coroutine, run by asyncio or uvloop",
            ) from None
        if self._home is None:
            self._home = here
        if self._home != here:
            whose = "process" if self._home[0] != here[0] else "event loop"
            raise UsageError(
                f"this Database belongs to another {whose}",
                hint="make one Database in each process and event loop",
            )
