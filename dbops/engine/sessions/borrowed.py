"""Sessions and connections that are returned, whatever has become of them.

What goes wrong while one is returned never takes the place of what the block raised;
its connection goes back to the pool, or is dropped.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from sqlalchemy.exc import IllegalStateChangeError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from dbops.engine.pooled.standing import ALONE

_log = logging.getLogger(__name__)
_PAUSE_S = 0.01


class BorrowedSession:
    """A session for the block; what is not committed is rolled back.

    Each request makes one, so it is no generator, which takes longer.

    Args:
        bind: Whose connection it takes, once it needs one.
        autoflush: Whether a query writes first what is pending.
    """

    __slots__ = ("_session",)

    def __init__(
        self, bind: AsyncEngine | AsyncConnection, *, autoflush: bool = True
    ) -> None:
        self._session = AsyncSession(
            bind,
            expire_on_commit=False,
            autoflush=autoflush,
            # A use after the block would take a connection that nobody gives back, and
            # write what nobody commits.
            close_resets_only=False,
        )

    async def __aenter__(self) -> AsyncSession:
        """Return it; nothing connects yet."""
        return self._session

    async def __aexit__(self, *_: object) -> None:
        """Return its connection."""
        await _returned(self._session)


@asynccontextmanager
async def borrowed_connection(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
    """Take a connection out of the pool for the block."""
    connection = await engine.connect()
    try:
        yield connection
    finally:
        await _returned(connection)


async def _returned(borrowed: AsyncSession | AsyncConnection) -> None:
    while True:
        try:
            await _closed(borrowed)
        except IllegalStateChangeError:
            # Another task has it, which begins or ends something at this moment.
            await asyncio.sleep(_PAUSE_S)
            continue
        except Exception:  # noqa: BLE001 # its own error is what counts for the work
            _log.debug("returning a connection failed; it is dropped", exc_info=True)
            with suppress(Exception):
                await borrowed.invalidate()
        return


async def _closed(borrowed: AsyncSession | AsyncConnection) -> None:
    if isinstance(borrowed, AsyncSession):
        if not borrowed.in_transaction():
            # It has taken no connection.
            borrowed.sync_session.close()
            return
        bind = borrowed.sync_session.bind
        if bind is not None and bind.get_execution_options().get(ALONE):
            # Only where it streams has it said a BEGIN, and has an answer to wait for;
            # its connection is dropped then when the task is cancelled.
            await borrowed.close()
            return
    # Shielded by SQLAlchemy: also a cancelled task returns its connection.
    await borrowed.__aexit__(None, None, None)
