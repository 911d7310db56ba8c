"""Which locks does a statement take that commits by itself?

At its end they are gone. So a second session stands in the way of the statement: it
has a snapshot and the lock of a writer on every table, and whatever would keep writers
out has to wait for it. While it waits, its locks can be read; then we step aside.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from dbops.engine.connect import Connection, Connector

T = TypeVar("T")

# https://www.postgresql.org/docs/current/view-pg-locks.html
_LOCKS = """
SELECT relation::int8, mode, granted, locktype = 'relation'
  FROM pg_catalog.pg_locks WHERE pid = $1
"""
# CREATE INDEX CONCURRENTLY waits for writers and old snapshots, the DROP and DETACH of
# that name for whoever uses the table.
# https://www.postgresql.org/docs/current/sql-createindex.html
_TABLES = r"""
SELECT coalesce(pg_catalog.string_agg(c.oid::regclass::text, ', '), '')
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
   AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""
_HELD_S = 0.5
_POLL_S = 0.002
_ANSWER_S = 10.0


class Observer:
    """A second session on the copy, asked from env.py's thread.

    Args:
        connection: The session.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._is_over = asyncio.Event()
        self._seen: set[tuple[int, str]] = set()

    def begin(self, pid: int) -> None:
        """Stand in the way of the next statement of a server process."""
        self._called(self._begin(pid))

    def end(self) -> set[tuple[int, str]]:
        """Return the locks that were seen since: oid and mode."""
        return self._called(self._end())

    def _called(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_S)

    async def _begin(self, pid: int) -> None:
        await self._end()
        self._is_over.clear()
        tables = await self._connection.fetchval(_TABLES)
        await self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await self._connection.execute("SELECT 1")
        is_held = True
        if tables:
            lock = f"LOCK TABLE {tables} IN ROW EXCLUSIVE MODE"
            try:
                await self._connection.execute(lock)
            except Exception:  # noqa: BLE001 # the driver's many classes
                # env.py has locked one in another session: look on, and no more.
                await self._connection.execute("ROLLBACK")
                is_held = False
        self._task = asyncio.create_task(self._watch(pid, is_held=is_held))

    async def _end(self) -> set[tuple[int, str]]:
        self._is_over.set()
        if self._task is not None:
            await self._task
            self._task = None
        seen, self._seen = self._seen, set()
        return seen

    async def _watch(self, pid: int, *, is_held: bool) -> None:
        """Read the locks until the statement is over; let it go once it waits."""
        deadline = self._loop.time() + _HELD_S
        while not self._is_over.is_set():
            rows = await self._connection.fetch(_LOCKS, pid)
            self._seen |= {(row[0], row[1]) for row in rows if row[3]}
            is_waiting = not all(row[2] for row in rows)
            if is_held and (is_waiting or self._loop.time() > deadline):
                await self._connection.execute("ROLLBACK")
                is_held = False
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_over.wait(), _POLL_S)
        if is_held:
            await self._connection.execute("ROLLBACK")


@asynccontextmanager
async def observer(connector: Connector) -> AsyncGenerator[Observer]:
    """Have a second session for the block.

    Raises:
        DbopsError: As `Connector.session`.
    """
    async with connector.session() as connection:
        await connection.execute("SET lock_timeout = '500ms'")
        it = Observer(connection)
        try:
            yield it
        finally:
            await it._end()  # noqa: SLF001 # our own
