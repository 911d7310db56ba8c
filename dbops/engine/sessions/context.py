"""A writer and a reader for one piece of work."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from dbops.engine.sessions.token import Token
from dbops.errors import UsageError


@dataclass(frozen=True, slots=True)
class Context:
    """What `Database.context` opens."""

    writer: AsyncSession
    """Committed when the block ends well; connects at its first statement."""
    reader: AsyncSession
    """One snapshot, as of entering the block; writes through it are refused."""
    _token: Callable[[], Awaitable[Token]] = field(repr=False)

    async def token(self) -> Token:
        """Take the position of what has been committed, for a reader to come.

        Ask after the block, or within it after a commit of the writer.

        Raises:
            UsageError: If the writer has something to commit, which would not count.
            DbopsError: As `Database.token`, which says what to do then.
        """
        if self.writer.in_transaction():
            raise UsageError(
                "what the writer has done is not committed yet",
                hint="take the token after the block, or after a commit",
            )
        return await self._token()
