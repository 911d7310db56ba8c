"""One question, asked again and again until there is an answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dbops.engine.connect import Connector, Dialled
from dbops.errors import DbopsError

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.2

T = TypeVar("T")

# A database, a schema or a table that was made a moment ago is still on its way to a
# reader.
_ON_THEIR_WAY = frozenset({"3D000", "3F000", "42P01"})


class LateError(Exception):
    """There was no answer in time; caught where it is known what was asked.

    Args:
        failure: Why the server could not be asked at last; None when it could.
    """

    def __init__(self, failure: DbopsError | None) -> None:
        super().__init__("no answer in time")
        self.failure = failure


async def polled(
    connector: Connector,
    ask: Callable[[Dialled], Awaitable[T | None]],
    *,
    deadline: float,
) -> T:
    """Ask until the answer is not None; a connection that is lost is made again.

    Each question is a transaction of its own: one that lasted would hold the replay
    back that is waited for.

    Args:
        connector: Whom to ask.
        ask: Asks once; None means not yet.
        deadline: In the event loop's time.

    Raises:
        LateError: If there is no answer by then.
        DbopsError: If asking again cannot help.
    """
    failure: DbopsError | None = None
    while True:
        try:
            async with asyncio.timeout_at(deadline), connector.dialled() as dialled:
                failure = None
                return await _repeated(dialled, ask)
        except TimeoutError:
            raise LateError(failure) from failure
        except DbopsError as error:
            if not error.retryable and error.sqlstate not in _ON_THEIR_WAY:
                raise
            failure = error
        await asyncio.sleep(LONGEST_PAUSE_S)


async def _repeated(
    dialled: Dialled, ask: Callable[[Dialled], Awaitable[T | None]]
) -> T:
    pause_s = FIRST_PAUSE_S
    while (answer := await ask(dialled)) is None:
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
    return answer
