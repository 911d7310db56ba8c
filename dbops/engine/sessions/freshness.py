"""Is a reader at most so late? A proof by positions, not by clocks.

The writer's position is taken now and then. A reader that has replayed one has all that
was committed when it was taken, so it is at most as late as that position is old.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from dbops.endpoint import Address
from dbops.engine.sessions.token import Token, has_replayed
from dbops.errors import ConfigError, DbopsError

_SHARE = 0.25


class Proofs:
    """Remembers until when each reader is known to be fresh enough.

    Args:
        max_lag_s: How late a reader may be.
        token: Takes the position that the writer has flushed.
    """

    def __init__(self, max_lag_s: float, token: Callable[[], Awaitable[Token]]) -> None:
        self._max_lag_s = max_lag_s
        self._token = token
        self._taken: deque[tuple[float, Token]] = deque()
        self._until: dict[Address, float] = {}
        self._taking = asyncio.Lock()
        self._silent_until = 0.0

    async def cover(self, reader: Address, connection: AsyncConnection) -> bool:
        """Whether a reader is known to be fresh enough; not while the writer is silent.

        Args:
            reader: Who it is.
            connection: A connection to it, in autocommit mode.

        Raises:
            ConfigError: If the writer tells no position, as on Aurora.
        """
        now = asyncio.get_running_loop().time()
        if self._until.get(reader, 0.0) > now:
            return True
        if not await self._take(now):
            return False
        for when, token in reversed(self._taken):
            if await has_replayed(connection, token):
                self._until[reader] = when + self._max_lag_s
                return True
        return False

    async def _take(self, now: float) -> bool:
        """Take a position where the last one is old; False if there is none.

        One asks for all who want to know: a silent writer holds each of them up once.
        """
        loop, pause_s = asyncio.get_running_loop(), self._max_lag_s * _SHARE
        async with self._taking:
            if now < self._silent_until:
                return False
            newest = self._taken[-1][0] if self._taken else None
            if newest is None or now - newest >= pause_s:
                try:
                    token = await self._token()
                except (DbopsError, SQLAlchemyError):
                    self._silent_until = loop.time() + pause_s
                    return False
                if token.position is None:
                    raise ConfigError(
                        "DBOPS_MAX_LAG cannot be kept here: Aurora tells no position",
                        hint="leave it out",
                        phase="settings",
                    )
                self._taken.append((now, token))
            while now - self._taken[0][0] >= self._max_lag_s:
                self._taken.popleft()
            return True
