"""Which connection has what was committed up to a token, within what time?"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from functools import lru_cache
from typing import Literal, get_args

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from dbops.engine.sessions.engines import AUTOCOMMIT, Mode
from dbops.engine.sessions.readers import Readers
from dbops.engine.sessions.token import Token, has_replayed
from dbops.errors import RefusedError, StaleReaderError, UnreachableError, UsageError
from dbops.units import seconds_or_number

Otherwise = Literal["writer", "error"]
"""What to do where the reader has not caught up."""

_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.05


@lru_cache(maxsize=64)  # each session asks
def limit_of(wait: str | float, otherwise: Otherwise) -> float:
    """Return in seconds how long a reader may take to get there.

    Args:
        wait: With a unit, or in seconds.
        otherwise: What to do then; looked at here, because it may not come to it.

    Raises:
        UsageError: If one of them makes no sense.
    """
    if otherwise not in get_args(Otherwise):
        raise UsageError(
            f"otherwise={otherwise!r} is nothing that can be done",
            hint="either 'writer' or 'error'",
        )
    try:
        return seconds_or_number(float(wait) if isinstance(wait, int) else wait)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"wait={wait!r} is no time to wait: {error}",
            hint="such as '200ms', or 0.2 for seconds",
        ) from error


async def caught_up(
    stack: AsyncExitStack,
    readers: Readers,
    after: Token,
    *,
    limit_s: float,
    otherwise: Otherwise,
    mode: Mode,
) -> AsyncConnection:
    """Take a connection to a reader, or to the writer where it is too late.

    Args:
        stack: Returns it at its end.
        readers: Who may have got there.
        after: What a reader has to have replayed; none has what nobody knows.
        limit_s: How long it may take.
        otherwise: What to do then.
        mode: The execution options to use a reader with.

    Raises:
        StaleReaderError: If it is too late, and `otherwise` is `error`.
        DbopsError: As `Readers.connection`, if `otherwise` is `error`.
        NoReaderError: If the writer serves as many reads as it may.
    """
    why = "nobody knows which position a reader has to reach"
    if after.position is not None:
        why = f"the reader has not caught up within {limit_s:g} s"
        try:
            async for _ in _pauses(limit_s):
                connection = await _that_has(after, readers, stack)
                if connection is not None:
                    await connection.execution_options(**mode)
                    return connection
        except (UnreachableError, RefusedError, DBAPIError):
            if otherwise == "error":
                raise
            why = "the reader has failed"
    if otherwise == "error":
        raise StaleReaderError(why)
    return await readers.on_writer(stack, why)


async def _that_has(
    token: Token, readers: Readers, stack: AsyncExitStack
) -> AsyncConnection | None:
    """Take a connection to a reader that has replayed a position.

    One that has not is given back at once: who waits takes it from nobody.
    """
    async with AsyncExitStack() as reading:
        # Outside of any transaction, which would hold the replay back.
        connection = await reading.enter_async_context(readers.connection(AUTOCOMMIT))
        is_there = await has_replayed(connection, token)
        await connection.rollback()
        if is_there:
            stack.push_async_exit(reading.pop_all())
    return connection if is_there else None


async def _pauses(limit_s: float) -> AsyncGenerator[None]:
    """Let somebody ask at once, and again after ever longer pauses, until `limit_s`."""
    loop = asyncio.get_running_loop()
    deadline, pause_s = loop.time() + limit_s, _FIRST_PAUSE_S
    yield
    while (left_s := deadline - loop.time()) > 0:
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        yield
