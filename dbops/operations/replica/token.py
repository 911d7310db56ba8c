"""Where is the writer, after the fact?"""

import asyncio
from typing import Any

from dbops.engine.aurora import IS_AURORA
from dbops.engine.connect import Dialled
from dbops.engine.read_only import ReadOnly
from dbops.errors import RefusedError
from dbops.operations.replica.judgement import Token
from dbops.operations.replica.polling import FIRST_PAUSE_S
from dbops.operations.replica.questions import FLUSHED, ON_WRITER

# A commit that did not wait for the disk is on it after three times wal_writer_delay.
# https://www.postgresql.org/docs/current/wal-async-commit.html
_DELAYS = 3.0


async def taken(writer: Dialled) -> Token | str:
    """Take the position up to which every commit so far has been flushed.

    On Aurora there is none; the return value is its address then.

    Raises:
        RefusedError: If the writer is a standby.
        DbopsError: As `ReadOnly.rows`.
    """
    questions = ReadOnly(writer)
    if await questions.value(IS_AURORA):
        return str(writer.address)
    row = await questions.row(ON_WRITER)
    if row["is_in_recovery"]:
        raise RefusedError(
            f"{writer.address} is given as the writer and is a standby",
            hint="point DATABASE_URL at the primary",
            phase="replica",
        )
    return await token_of(questions, row)


async def token_of(
    writer: ReadOnly, row: dict[str, Any], *, is_patient: bool = True
) -> Token:
    """Return the position that a primary's row of ON_WRITER leads to.

    Not the position of the last insert: after a switch of WAL files it lies beyond all
    that a standby can get before the next write. And not what is flushed at once: with
    synchronous_commit off, a commit is acknowledged before that. What never ends with
    a commit, such as the last page of a bulk load, is not flushed for long.

    Args:
        writer: The primary.
        row: Its row of ON_WRITER.
        is_patient: Wait until every commit is flushed; without, `is_all` tells
            whether it was.

    Raises:
        DbopsError: As `ReadOnly.rows`.
    """
    loop = asyncio.get_running_loop()
    wait_s = _DELAYS * row["wal_writer_delay_s"] if is_patient else 0.0
    deadline = loop.time() + wait_s
    while True:
        is_due = loop.time() >= deadline
        flushed = await writer.row(FLUSHED, row["inserted"])
        if flushed["is_all"] or is_due:
            break
        await asyncio.sleep(FIRST_PAUSE_S)
    return Token(
        position=flushed["flushed"],
        timeline=row["timeline"],
        system_identifier=row["system_identifier"],
        instance=(row["started"], row["port"]),
        snapshot=row["snapshot"],
        is_all=is_patient or flushed["is_all"],
    )
