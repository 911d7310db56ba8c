"""Read your own writes from a replica: a position to take along, and to wait for."""

from typing import NamedTuple, Self

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from dbops.engine.aurora import AURORA

# Aurora tells none, and refuses the functions once they are called.
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-BACKUP
_TOLD = f"SELECT CASE WHEN NOT {AURORA} THEN pg_catalog.%s()::text END"

# A commit that does not wait for the disk is acknowledged before it is flushed, and any
# transaction may choose to (`SET LOCAL synchronous_commit = off`): it is inserted then.
INSERTED = text(_TOLD % "pg_current_wal_insert_lsn")
"""The position up to which every commit counts that anybody was told of."""

# A standby gets what is flushed. What others have inserted and not committed may not be
# for seconds, and would make each reader look late.
FLUSHED = text(_TOLD % "pg_current_wal_flush_lsn")
"""The position that a reader can have by now."""

# A reader that is no standby is the writer itself, and has the position; or it was
# promoted, maybe without what was written last.
REPLAYED = text("""
    SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
                THEN pg_catalog.pg_last_wal_replay_lsn()
                ELSE pg_catalog.pg_current_wal_insert_lsn() END
           >= CAST(CAST(:position AS text) AS pg_catalog.pg_lsn)
""")


class Token(NamedTuple):
    """The writer's position after a commit; `str(token)` fits into a cookie."""

    position: str | None
    """In the WAL, as PostgreSQL writes it; None where the writer tells none."""

    @override
    def __str__(self) -> str:
        """Write it as `parse` reads it."""
        return self.position or ""

    @classmethod
    def parse(cls, words: str) -> Self:
        """Read what `str(token)` wrote.

        Raises:
            ValueError: If it is no position, such as `16/B374D848`.
        """
        high, _, low = words.partition("/")
        if not words:
            return cls(None)
        if not 0 <= int(high, 16) < 1 << 32 or not 0 <= int(low, 16) < 1 << 32:
            raise ValueError("a position has two parts of 32 bits")
        return cls(f"{int(high, 16):X}/{int(low, 16):X}")


async def taken(writer: AsyncConnection, position: TextClause) -> Token:
    """Take a position: `INSERTED` or `FLUSHED`; none is known on Aurora."""
    return Token(await writer.scalar(position))


async def has_replayed(reader: AsyncConnection, token: Token) -> bool:
    """Whether a reader has replayed a position.

    Args:
        reader: In autocommit mode: a transaction would hold the replay back.
        token: The position; one that is not known is never reached.
    """
    if token.position is None:
        return False
    return bool(await reader.scalar(REPLAYED, {"position": token.position}))
