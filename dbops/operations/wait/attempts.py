"""Try again and again, with pauses that grow, until it works or time is over."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic

from typing_extensions import override

from dbops.errors import DbopsError, UnreachableError
from dbops.results import Checked, Measure, Result
from dbops.settings.model import WaitFor

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0

_THERE: Mapping[WaitFor, str] = {
    "server": "the server answers",
    "database": "the database answers",
    "writable": "the database takes writes",
    "migrations": "the database is at head",
    "replica": "the reader has what the writer had",
}

OnFailure = Callable[[DbopsError], None]
"""Called with each failure on the way."""


class Waited(Result):
    """How long it took."""

    waited_for: WaitFor
    """What was waited for."""
    waited_s: float
    """Seconds until it was there."""
    attempts: int
    """How often it was tried."""

    @override
    def checked(self) -> Sequence[Checked]:
        said = f"{_THERE[self.waited_for]} after {self.waited_s:g} s"
        return [Checked("wait", f"wait for {self.waited_for}", self.status, said)]

    @override
    def measures(self) -> Sequence[Measure]:
        return [
            Measure("wait", self.waited_s, "s", about="How long it was waited."),
            Measure("wait_attempts", self.attempts, about="How often it was tried."),
        ]


async def until(
    what: WaitFor,
    attempt: Callable[[], Awaitable[None]],
    *,
    limit_s: float,
    on_failure: OnFailure | None,
    first_pause_s: float = FIRST_PAUSE_S,
) -> Waited:
    """Try until an attempt raises nothing.

    Args:
        what: What is waited for.
        attempt: Raises what is still missing.
        limit_s: How long to try, in seconds.
        on_failure: Called with each failure on the way.
        first_pause_s: How long to wait after the first failure.

    Raises:
        DbopsError: The last failure, when time is over; and at once one that waiting
            cannot help.
    """
    started = monotonic()
    attempts = 0
    pause_s = first_pause_s
    known: DbopsError | None = None
    while True:
        attempts += 1
        left_s = limit_s - (monotonic() - started)
        failure = await _failure(attempt, left_s, known)
        if failure is None:
            waited_s = round(monotonic() - started, 3)
            return Waited(waited_for=what, waited_s=waited_s, attempts=attempts)
        if not may_pass(failure):
            raise failure
        if on_failure is not None:
            on_failure(failure)
        known = failure
        jittered_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311 # spreads clients
        if monotonic() - started + jittered_s >= limit_s:
            raise _gave_up(failure, limit_s) from failure
        await asyncio.sleep(jittered_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def may_pass(failure: DbopsError) -> bool:
    """Tell whether waiting may help: also for a database that is not there yet."""
    return failure.retryable or failure.sqlstate == "3D000"


async def _failure(
    attempt: Callable[[], Awaitable[None]], limit_s: float, known: DbopsError | None
) -> DbopsError | None:
    try:
        async with asyncio.timeout(limit_s):
            await attempt()
    except DbopsError as error:
        return error
    except TimeoutError:
        # What the last whole attempt said says more than that this one was cut off.
        return known or UnreachableError(
            "the last attempt got no answer", phase="connect"
        )
    return None


def _gave_up(failure: DbopsError, limit_s: float) -> DbopsError:
    text = f"waited {limit_s:.3g} s in vain: {failure.message}"
    return failure.retold(text, retryable=True)
