"""One connection on which every question is a read-only transaction of its own."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from dbops.endpoint import Address
from dbops.engine.dialling.connector import Dialled
from dbops.engine.faults.translate import translated
from dbops.engine.round_trip import RoundTrip, round_trip
from dbops.errors import DbopsError

_ANSWER_S = 5.0
_LOCK_S = 0.1
# The compiler of plans costs more than it saves on catalogs; a role may have been given
# strings in which a backslash escapes.
_SETTINGS = (
    "search_path = pg_catalog, pg_temp",
    "statement_timeout = {statement_ms}",
    "lock_timeout = {lock_ms}",
    "standard_conforming_strings = on",
    "jit = off",
)
# SET LOCAL ends with the transaction: a pooler's next client inherits nothing.
_BEGIN = ";".join(
    [
        "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY",
        *(f"SET LOCAL {it}" for it in _SETTINGS),
    ]
)
_SETTLE = ";".join(
    [
        "SET default_transaction_read_only = on",
        "SET default_transaction_isolation = 'read committed'",
        *(f"SET {it}" for it in _SETTINGS),
    ]
)
# A pooler has a number of its own for each client.
# https://www.postgresql.org/docs/current/functions-info.html
_WHO = "SELECT pg_catalog.pg_backend_pid() AS pid"


class ReadOnly:
    """Asks a server questions that change nothing and wait for nobody.

    Questions of several tasks take turns. Nothing survives a question, neither a
    setting nor a snapshot nor a prepared statement: a transaction pooler may stand
    between, and a standby's replay is not held back.

    Args:
        dialled: An open connection; whoever has opened it closes it.
        statement_timeout_s: How long the server works on one question.
        lock_timeout_s: How long it waits for a lock.
    """

    def __init__(
        self,
        dialled: Dialled,
        *,
        statement_timeout_s: float = _ANSWER_S,
        lock_timeout_s: float = _LOCK_S,
    ) -> None:
        self.dialled = dialled
        self.failure: DbopsError | None = None
        """Why the connection is of no use any more; None while it is."""

        self._turn = asyncio.Lock()
        self._is_settled = False
        self._limits = {
            "statement_ms": round(statement_timeout_s * 1000),
            "lock_ms": round(lock_timeout_s * 1000),
        }

    @property
    def address(self) -> Address:
        """Which server answers."""
        return self.dialled.address

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """Ask, and return the rows by column.

        Raises:
            DbopsError: The translation of whatever the driver raises. Once the
                connection is broken or silent, every question raises that at once.
        """
        async with self._in_turn():
            return [dict(row) for row in await self._asked(query, arguments)]

    async def settle(self) -> None:
        """Set once what else each question sets, where the server is ours alone.

        Many questions then take half of the round trips. Behind a pooler nothing is
        changed, and each goes on to take its settings with it.

        Raises:
            DbopsError: As `rows`.
        """
        pid = await self.value(_WHO)
        if pid != self.dialled.connection.get_server_pid():
            return
        async with self._in_turn():
            await self._tidied()
            await self.dialled.connection.execute(_SETTLE.format(**self._limits))
            self._is_settled = True

    async def at_once(self, query: str) -> RoundTrip:
        """Ask in one round trip, and say how long that took: without the turns before.

        Raises:
            DbopsError: As `rows`.
        """
        async with self._in_turn():
            await self._tidied()
            return await round_trip(self.dialled, query)

    async def row(self, query: str, *arguments: object) -> dict[str, Any]:
        """Ask what has exactly one row by construction.

        Raises:
            DbopsError: As `rows`.
        """
        (row,) = await self.rows(query, *arguments)
        return row

    async def value(self, query: str, *arguments: object) -> Any:  # noqa: ANN401 # whatever was asked for
        """Ask for one column of one row.

        Raises:
            DbopsError: As `rows`.
        """
        (value,) = (await self.row(query, *arguments)).values()
        return value

    async def _asked(
        self, query: str, arguments: Sequence[object]
    ) -> Sequence[asyncpg.Record]:
        connection = self.dialled.connection
        await self._tidied()
        if self._is_settled:
            return await connection.fetch(query, *arguments)
        try:
            await connection.execute(_BEGIN.format(**self._limits))
            rows = await connection.fetch(query, *arguments)
        except asyncpg.PostgresError:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.execute("ROLLBACK")
            raise
        await connection.execute("ROLLBACK")
        return rows

    async def _tidied(self) -> None:
        """End what an earlier question has left, which was cut off before its end."""
        if self.dialled.connection.is_in_transaction():
            await self.dialled.connection.execute("ROLLBACK")

    @asynccontextmanager
    async def _in_turn(self) -> AsyncGenerator[None]:
        """Wait for one's turn, translate errors, remember a connection that is dead."""
        async with self._turn:
            if self.failure is not None:
                raise self.failure.retold(self.failure.message)
            try:
                with translated(self.dialled.endpoint):
                    yield
            except DbopsError as error:
                # Who is silent has no SQLSTATE; the next one would wait as long again.
                if error.sqlstate is None or self.dialled.connection.is_closed():
                    self.failure = error
                raise
