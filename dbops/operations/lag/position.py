"""Has a position been replayed?"""

import asyncio
from time import monotonic

from dbops.engine.read_only import ReadOnly
from dbops.operations.replica.polling import FIRST_PAUSE_S, LONGEST_PAUSE_S

REPLAYED = """
    SELECT pg_catalog.pg_last_wal_replay_lsn() >= $1::text::pg_catalog.pg_lsn
"""


async def polled_until(reader: ReadOnly, position: str, *, deadline: float) -> None:
    """Wait until a position is replayed, or for so long.

    Args:
        reader: Whom to ask.
        position: Which position.
        deadline: Until when, on the clock of `monotonic`.

    Raises:
        DbopsError: As `ReadOnly.rows`.
    """
    pause_s = FIRST_PAUSE_S
    while (left_s := deadline - monotonic()) > 0:
        if await reader.value(REPLAYED, position):
            return
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
