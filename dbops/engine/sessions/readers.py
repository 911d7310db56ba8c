"""Which of several readers serves next, and what if none can?"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from dbops.endpoint import Address, Endpoint
from dbops.engine.pooled.standing import speak
from dbops.engine.sessions.borrowed import borrowed_connection
from dbops.engine.sessions.engines import AUTOCOMMIT, READING, Engines, Mode
from dbops.engine.sessions.freshness import Proofs
from dbops.engine.sessions.token import Token
from dbops.errors import DbopsError, NoReaderError, RefusedError
from dbops.settings import Settings

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 10.0


@dataclass
class _Reader:
    """One host, and what became of it last."""

    address: Address
    engine: AsyncEngine
    failed_at: float = 0.0
    down_until: float = 0.0
    pause_s: float = 0.0

    def tried(self, now: float) -> None:
        """Let one try it alone where it has failed: others would wait with him."""
        self.down_until = now + self.pause_s

    def failed(self, began: float, now: float) -> None:
        """Leave it alone for a while, the longer the more often it fails.

        Those who try at the same time fail together, and count as one.
        """
        if began < self.failed_at:
            return
        self.pause_s = min(max(self.pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self.failed_at, self.down_until = now, now + self.pause_s

    def answered(self) -> None:
        """Count on it again."""
        self.down_until = self.pause_s = 0.0


class Readers:
    """Spreads sessions over the reader's hosts.

    Args:
        engines: Where the engines are.
        endpoint: The reader's hosts, and which role each has to have.
        settings: How late a reader may be, and who stands in.
        token: Takes the position that the writer has flushed.
    """

    def __init__(
        self,
        engines: Engines,
        endpoint: Endpoint,
        settings: Settings,
        token: Callable[[], Awaitable[Token]],
    ) -> None:
        self._engines = engines
        wanted = endpoint.target_session_attrs
        # All that can be used are: the preferred one is the one with least to do.
        wanted = "any" if wanted == "prefer-standby" else wanted
        hosts = endpoint.addresses
        self._readers = [
            _Reader(
                it, engines.at(it, wanted) if len(hosts) > 1 else engines.of("reader")
            )
            for it in hosts
        ]
        self._fallback = settings.reader_fallback
        self._proofs = Proofs(settings.max_lag, token) if settings.max_lag else None
        most = settings.reader_fallback.limit
        self._on_writer = asyncio.Semaphore(most) if most is not None else None
        is_alone = len(hosts) == 1 and self._proofs is None
        self.are_judged = not is_alone or self._fallback.who != "error"
        """Whether there is anything to choose, to prove or to fall back on."""

    @property
    def engines(self) -> list[AsyncEngine]:
        """One for each reader."""
        return [it.engine for it in self._readers]

    @asynccontextmanager
    async def connection(self, mode: Mode) -> AsyncGenerator[AsyncConnection]:
        """Take a connection to the reader that has the least to do.

        One that is down, or later than it may be, is passed over.

        Args:
            mode: The execution options to use it with; a writer that stands in for the
                readers keeps one snapshot in any case.

        Raises:
            NoReaderError: If none is left, and nobody stands in.
            RefusedError: If a statement would stand by itself, and could write.
        """
        async with AsyncExitStack() as stack:
            if self.are_judged:
                yield await self._taken(stack, mode)
                return
            alone = borrowed_connection(self._readers[0].engine)
            connection = await stack.enter_async_context(alone)
            await connection.execution_options(**mode)
            yield connection

    async def _taken(self, stack: AsyncExitStack, mode: Mode) -> AsyncConnection:
        failure: DbopsError | DBAPIError | None = None
        for reader in self._in_order():
            began = _now()
            if reader.down_until > began:
                continue  # since they were put in order
            reader.tried(began)
            try:
                connection = await self._from(stack, reader, mode)
            except (DbopsError, DBAPIError) as error:
                if isinstance(error, RefusedError) and error.phase == "query":
                    raise  # what the session asks for, whoever is asked
                reader.failed(began, _now())
                failure = error
                continue
            reader.answered()
            if connection is not None:
                return connection
        return await self._stand_in(stack, failure)

    def _in_order(self) -> list[_Reader]:
        now = _now()
        up = [it for it in self._readers if it.down_until <= now]
        # Who is equally busy is served by chance.
        random.shuffle(up)
        return sorted(up, key=lambda it: self._engines.state(it.engine).in_use)

    async def _from(
        self, stack: AsyncExitStack, reader: _Reader, mode: Mode
    ) -> AsyncConnection | None:
        """Connect to one reader; None where it is later than it may be."""
        async with AsyncExitStack() as here:
            connection = await here.enter_async_context(
                borrowed_connection(reader.engine)
            )
            if not await self._is_fresh(reader, connection):
                return None
            await connection.execution_options(**mode)
            await connection.run_sync(speak)
            stack.push_async_exit(here.pop_all())
            return connection
        raise AssertionError  # the block returns

    async def _is_fresh(self, reader: _Reader, connection: AsyncConnection) -> bool:
        if self._proofs is None:
            return True
        await connection.execution_options(**AUTOCOMMIT)
        is_fresh = await self._proofs.cover(reader.address, connection)
        await connection.rollback()
        return is_fresh

    async def _stand_in(
        self, stack: AsyncExitStack, failure: DbopsError | DBAPIError | None
    ) -> AsyncConnection:
        """Let the writer read, if it may.

        Raises:
            NoReaderError: If it may not, or does so for enough others.
        """
        why = "each is down, or not known to be fresh enough"
        if isinstance(failure, DbopsError):
            why = failure.message
        if self._fallback.who == "error":
            raise NoReaderError(f"no reader can be used: {why}") from failure
        return await self.on_writer(stack, why)

    async def on_writer(self, stack: AsyncExitStack, why: str) -> AsyncConnection:
        """Take a connection to the writer for reading, if one more may.

        Args:
            stack: Returns it at its end.
            why: No reader serves.

        Raises:
            NoReaderError: If it serves as many reads as it may.
        """
        if self._on_writer is not None:
            if self._on_writer.locked():
                raise NoReaderError(
                    f"no reader can be used ({why}), and the writer serves as many "
                    "reads as it may"
                )
            await stack.enter_async_context(self._on_writer)
        connection = await stack.enter_async_context(
            borrowed_connection(self._engines.of("writer"))
        )
        await connection.execution_options(**READING)
        return connection


def _now() -> float:
    return asyncio.get_running_loop().time()
