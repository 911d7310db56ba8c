"""psycopg's connection, which ends in time whatever happens.

It has what `BoundedConnection` has, so far as dbops asks for it. The driver is in
autocommit mode throughout: who begins and ends transactions is the dialect.
"""

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg.abc import AdaptContext, PQGen
from psycopg.adapt import AdaptersMap
from psycopg.errors import Diagnostic
from psycopg.pq import TransactionStatus
from psycopg.waiting import wait_async
from typing_extensions import override

from dbops.engine.dialling.driver import CLOSE_TIMEOUT_S, EndsOnce, to_its_end

_INTERVAL_S = 0.1

T = TypeVar("T")
Row = tuple[Any, ...]


class BoundedPsycopg(EndsOnce, psycopg.AsyncConnection[Row]):
    """A connection whose statements, and whose end, take no longer than they may.

    psycopg itself waits for ever on a frozen network, and up to ten seconds for a
    statement to be cancelled; and it does not wait for the server to have heard.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 # the base's
        super().__init__(*args, **options)
        self.close_limit_s = CLOSE_TIMEOUT_S
        self.command_limit_s: float | None = None
        self._ending: asyncio.Task[None] | None = None
        self._is_dismissed = False
        self.add_notice_handler(self._heed)

    def is_closed(self) -> bool:
        """Whether it has ended, as far as the socket has heard."""
        for _ in range(2):  # the server's last words, and that it has hung up
            with suppress(psycopg.OperationalError):
                self.pgconn.consume_input()
                self.pgconn.is_busy()  # which reads what was consumed
        if self._is_dismissed:
            self.terminate()
        return self.closed

    def _heed(self, words: Diagnostic) -> None:
        """Take the server's farewell for the end, whether its line is cut or not."""
        self._is_dismissed |= words.severity_nonlocalized == "FATAL"

    async def say(self, words: str) -> str:
        """Execute, and return what the server says that it has done.

        It answers COMMIT with ROLLBACK where the transaction had failed before.
        """
        cursor = await self.execute(words, prepare=False)
        return cursor.statusmessage or ""

    async def fetchrow(self, query: str) -> Row | None:
        """Return the first row of a query."""
        cursor = await self.execute(query, prepare=False)
        return await cursor.fetchone()

    async def fetchval(self, query: str) -> object:
        """Return the first value of a query; None where it has no row."""
        row = await self.fetchrow(query)
        return row and row[0]

    def get_server_pid(self) -> int:
        """Return the number of the server's process, as it was told at log-in."""
        return self.pgconn.backend_pid

    def reported(self, name: str) -> str | None:
        """Return a setting that the server reports by itself; None for any other."""
        return self.info.parameter_status(name)

    def adapt_as(self, context: AdaptContext) -> None:
        """Read and write values as `context` does."""
        self._adapters = AdaptersMap(context.adapters)

    @override
    async def wait(
        self,
        gen: PQGen[T],
        interval: float = _INTERVAL_S,
        timeout: float | None = None,
    ) -> T:
        """Wait for the server; what takes too long, or is not wanted, is cancelled.

        Raises:
            TimeoutError: If it takes longer than `command_limit_s`.
        """
        # The driver asks for it since 3.3, and took no such argument before.
        bound = {} if timeout is None else {"timeout": timeout}
        try:
            async with asyncio.timeout(self.command_limit_s):
                return await wait_async(gen, self.pgconn.socket, interval, **bound)
        except (asyncio.CancelledError, TimeoutError):
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                await to_its_end(asyncio.create_task(self._abandon(gen)))
            raise

    async def _abandon(self, gen: PQGen[T]) -> None:
        """Cancel a statement, and hear what becomes of it; else drop the connection."""
        try:
            async with asyncio.timeout(self.close_limit_s):
                await self.cancel_safe(timeout=self.close_limit_s)
                await wait_async(gen, self.pgconn.socket, _INTERVAL_S)
        except psycopg.errors.QueryCanceled:
            pass
        except Exception:  # noqa: BLE001 # whatever the reason, it has to go
            self.terminate()

    def terminate(self) -> None:
        """Drop the connection."""
        self._closed = True
        self.pgconn.finish()

    @override
    async def _end(self, limit_s: float) -> None:
        """Say goodbye, and wait until the server has hung up."""
        try:
            # A second name for the socket, which the goodbye closes on our side.
            line = socket.socket(fileno=os.dup(self.pgconn.socket))
        except (OSError, psycopg.OperationalError):
            self.terminate()
            return
        with line, suppress(OSError):
            line.settimeout(0)
            self.terminate()
            async with asyncio.timeout(limit_s):
                while await asyncio.get_running_loop().sock_recv(line, 1 << 12):
                    pass
