"""A writer and a reader for one piece of work."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class Context:
    """What `Database.context` opens."""

    writer: AsyncSession
    """Committed when the block ends well; connects at its first statement."""
    reader: AsyncSession
    """One snapshot, as of entering the block; writes through it are refused."""
