"""Where is the writer, after the fact?"""

import asyncio
from typing import Any

from dbops.engine.connect import Dialled
from dbops.errors import RefusedError
from dbops.operations.replica.judgement import Token
from dbops.operations.replica.polling import FIRST_PAUSE_S
from dbops.operations.replica.questions import FLUSHED, IS_AURORA, ON_WRITER

# A commit that did not wait for the disk is on it after three times wal_writer_delay.
# https://www.postgresql.org/docs/current/wal-async-commit.html
_DELAYS = 3.0


async def taken(writer: Dialled) -> Token | str:
    """Take the position up to which every commit so far has been flushed.

    On Aurora there is none; the return value is its address then.

    Not the position of the last insert: after a switch of WAL files it lies beyond all
    that a standby can get before the next write. And not what is flushed at once: with
    synchronous_commit off, a commit is acknowledged before that.
    """
    if await writer.connection.fetchval(IS_AURORA):
        return str(writer.address)
    row = await only_row(writer, ON_WRITER)
    if row["is_in_recovery"]:
        raise RefusedError(
            f"{writer.address} is given as the writer and is a standby",
            hint="point DATABASE_URL at the primary",
            phase="replica",
        )
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _DELAYS * row["wal_writer_delay_s"]
    while True:
        is_due = loop.time() >= deadline
        flushed = await only_row(writer, FLUSHED, row["inserted"])
        if flushed["is_all"] or is_due:
            break
        await asyncio.sleep(FIRST_PAUSE_S)
    return Token(
        position=flushed["flushed"],
        timeline=row["timeline"],
        system_identifier=row["system_identifier"],
        instance=(row["started"], row["port"]),
    )


async def only_row(server: Dialled, query: str, *arguments: object) -> dict[str, Any]:
    """Ask for one row."""
    row = await server.connection.fetchrow(query, *arguments)
    assert row is not None  # the queries return one row by construction  # noqa: S101
    return dict(row)
