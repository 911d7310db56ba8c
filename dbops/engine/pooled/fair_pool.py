"""A pool that serves who came first.

SQLAlchemy's own lets whoever has just returned a connection take it again before those
who wait are woken: under load some wait until their time is over.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.pool.base import ConnectionPoolEntry
from sqlalchemy.util import await_only, greenlet_spawn
from sqlalchemy.util.queue import Empty
from typing_extensions import override


class PoolState(NamedTuple):
    """A pool at one moment."""

    in_use: int
    """Connections that somebody has taken."""
    idle: int
    """Connections that wait to be taken."""
    waiting: int
    """How many wait for a connection."""
    most: int | None
    """How many connections there can be; None for no limit."""


def limit(size: int, overflow: int) -> int | None:
    """Return how many connections a pool can have; None for no limit."""
    return None if size == 0 or overflow < 0 else size + overflow


class FairPool(AsyncAdaptedQueuePool):
    """An `AsyncAdaptedQueuePool` with a queue in front of it."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 # the base's
        super().__init__(*args, **options)
        # Who has no limit never waits.
        self._free = limit(self.size(), self._max_overflow)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_disposed = False

    @property
    def state(self) -> PoolState:
        """What it holds at this moment."""
        size, idle = self.size(), self.checkedin()
        # QueuePool's own count of what is open begins below zero.
        return PoolState(
            in_use=size + self._overflow - idle,
            idle=idle,
            waiting=len(self._waiting),
            most=limit(size, self._max_overflow),
        )

    @override
    def dispose(self) -> None:
        """Close what is idle, all at once: a silent server takes its time for each."""
        self._is_disposed = True
        idle: list[ConnectionPoolEntry] = []
        with suppress(Empty):
            while True:
                idle.append(self._pool.get(block=False))
        await_only(asyncio.gather(*(greenlet_spawn(it.close) for it in idle)))
        super().dispose()

    @override
    def _do_get(self) -> ConnectionPoolEntry:
        self._take_turn()
        try:
            return super()._do_get()
        except BaseException:
            self._pass_on()
            raise

    @override
    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        try:
            if self._is_disposed:
                # It was in use then, and only who waited already comes for another.
                record.close()
                self._dec_overflow()
            else:
                super()._do_return_conn(record)
        finally:
            self._pass_on()

    def _take_turn(self) -> None:
        if self._free is None:
            return
        if self._free > 0:
            self._free -= 1
            return
        await_only(self._wait())

    async def _wait(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self.timeout()):
                await turn
        except TimeoutError:
            self._give_up(turn)
            raise PoolTimeoutError(
                f"no connection was returned within {self.timeout():g} s", code="3o7r"
            ) from None
        except BaseException:
            self._give_up(turn)
            raise

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        """Leave the queue; a turn that came at the same moment is passed on."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif turn.done() and not turn.cancelled():
            self._pass_on()

    def _pass_on(self) -> None:
        """Hand the place to who has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        if self._free is not None:
            self._free += 1
