"""A writer and a reader for one piece of work."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# The first statement takes the snapshot; BEGIN alone takes none.
# https://www.postgresql.org/docs/current/transaction-iso.html#XACT-REPEATABLE-READ
TAKE_SNAPSHOT = text("SELECT pg_catalog.pg_current_snapshot()")


@dataclass(frozen=True, slots=True)
class Context:
    """What `Database.context` opens."""

    writer: AsyncSession
    """Committed when the block ends well; connects at its first statement."""
    reader: AsyncSession
    """One snapshot, as of entering the block; writes through it are refused."""
