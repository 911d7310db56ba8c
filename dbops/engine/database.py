"""The engines of one program: writer and reader, made lazily over `connect`."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Self

from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from dbops.endpoint import Role
from dbops.engine.connect import Connectors
from dbops.engine.context import TAKE_SNAPSHOT, Context, closing
from dbops.engine.fair_pool import FairPool
from dbops.engine.faults import sqlstate
from dbops.engine.made import engine_over
from dbops.errors import ReadOnlyError, UsageError
from dbops.settings import Settings

# The reader begins REPEATABLE READ, READ ONLY: all statements of a transaction see one
# snapshot, and a write that was meant for the writer fails at once, also where writer
# and reader are the same server. (SERIALIZABLE is refused on a standby.)
_WRITER = {"isolation_level": "READ COMMITTED"}
_READER = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
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
        async with closing(
            AsyncSession(self.engine("writer"), expire_on_commit=False)
        ) as session:
            yield session

    @asynccontextmanager
    async def reader(self) -> AsyncGenerator[AsyncSession]:
        """Open a session on the reader: one snapshot, read only.

        Raises:
            ReadOnlyError: By a statement that writes.
            UsageError: If this database belongs to another event loop or process.
        """
        self._stay_home()
        async with closing(
            AsyncSession(self.engine("reader"), expire_on_commit=False, autoflush=False)
        ) as session:
            yield session

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

    async def dispose(self) -> None:
        """Close every pooled connection; the next use opens new ones."""
        engines, self._engines = self._engines, {}
        self._home = None
        # At once: each connection to a silent server takes its time to end.
        await asyncio.gather(*(engine.dispose() for engine in engines.values()))

    def _made(self, role: Role) -> AsyncEngine:
        settings = self.settings
        engine = engine_over(
            self.connectors.connector(role, keeps_statements=True),
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
        judge = _refused if role == "reader" else _demoted
        event.listen(engine.sync_engine, "handle_error", judge)
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


def _refused(failure: ExceptionContext) -> None:
    """Tell a write that was sent to the reader."""
    if sqlstate(failure.original_exception) == _READ_ONLY:
        raise ReadOnlyError from failure.original_exception


def _demoted(failure: ExceptionContext) -> None:
    """Leave a writer that has become a standby: all its connections are of the past."""
    if sqlstate(failure.original_exception) == _READ_ONLY:
        failure.is_disconnect = True
