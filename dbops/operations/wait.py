"""Wait until a server, or a database, can be used."""

import asyncio
import random
from collections.abc import Callable
from time import monotonic

from dbops.engine.connect import Connector
from dbops.errors import DbopsError, RefusedError, UnreachableError
from dbops.results import Result
from dbops.settings.model import WaitFor

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0


class Waited(Result):
    """How long it took."""

    waited_for: WaitFor
    """What was waited for."""
    waited_s: float
    """Seconds until it was there."""
    attempts: int
    """How often it was tried."""


async def wait(
    connector: Connector,
    what: WaitFor,
    *,
    limit_s: float,
    on_failure: Callable[[DbopsError], None] | None = None,
) -> Waited:
    """Try to connect until it works, with pauses that grow and are jittered.

    Args:
        connector: Where to.
        what: `server` is content when the server answers that the database is missing.
        limit_s: How long to try, in seconds.
        on_failure: Called with each failure on the way.

    Raises:
        UnreachableError: If it does not work in time; it names the last failure.
        RefusedError: If the database is still missing in the end.
        DbopsError: If waiting cannot help: wrong password, malformed settings, …
    """
    started = monotonic()
    attempts = 0
    while True:
        attempts += 1
        left_s = limit_s - (monotonic() - started)
        failure = await _failure(connector, left_s)
        if failure is None or (what == "server" and failure.sqlstate == "3D000"):
            waited_s = round(monotonic() - started, 3)
            return Waited(waited_for=what, waited_s=waited_s, attempts=attempts)
        if not _may_pass(failure):
            raise failure
        if on_failure is not None:
            on_failure(failure)
        pause_s = min(FIRST_PAUSE_S * 2**attempts, LONGEST_PAUSE_S)
        pause_s *= random.uniform(0.5, 1.0)  # noqa: S311 # spreads clients, guards nothing
        if monotonic() - started + pause_s >= limit_s:
            raise _gave_up(failure, limit_s) from failure
        await asyncio.sleep(pause_s)


async def _failure(connector: Connector, limit_s: float) -> DbopsError | None:
    try:
        async with asyncio.timeout(limit_s):
            async with connector.session():
                return None
    except DbopsError as error:
        return error
    except TimeoutError:
        return UnreachableError("the last attempt got no answer", phase="connect")


def _may_pass(failure: DbopsError) -> bool:
    return failure.retryable or failure.sqlstate == "3D000"


def _gave_up(failure: DbopsError, limit_s: float) -> DbopsError:
    kind = RefusedError if failure.sqlstate == "3D000" else UnreachableError
    return kind(
        f"waited {limit_s:g} s in vain: {failure.message}",
        hint=failure.hint,
        phase=failure.phase,
        sqlstate=failure.sqlstate,
        retryable=True,
    )
