"""A writer and a reader for one piece of work."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# The first statement takes the snapshot; BEGIN alone takes none.
# https://www.postgresql.org/docs/current/transaction-iso.html#XACT-REPEATABLE-READ
TAKE_SNAPSHOT = text("SELECT pg_catalog.pg_current_snapshot()")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Context:
    """What `Database.context` opens."""

    writer: AsyncSession
    """Committed when the block ends well; connects at its first statement."""
    reader: AsyncSession
    """One snapshot, as of entering the block; writes through it are refused."""


@asynccontextmanager
async def closing(session: AsyncSession) -> AsyncGenerator[AsyncSession]:
    """Close a session at the end of the block, whatever has become of its connection.

    What goes wrong while it is closed never takes the place of what the block raised,
    and its connection is returned or dropped in any case.
    """
    try:
        yield session
    finally:
        await _closed(session)


async def _closed(session: AsyncSession) -> None:
    try:
        # Shielded by SQLAlchemy: also a cancelled task returns its connection.
        await session.__aexit__(None, None, None)
    except Exception:  # noqa: BLE001 # the work is over; its own error is what counts
        _log.debug("closing a session failed; its connection is dropped", exc_info=True)
        await session.invalidate()
