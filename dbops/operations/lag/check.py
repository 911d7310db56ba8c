"""Is the reader fresh, is the pipeline sound, and if not, why?"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from dbops.engine.connect import Connector
from dbops.engine.read_only import ReadOnly
from dbops.errors import DbopsError, UnreachableError
from dbops.limits import Limit, Unit
from dbops.operations.lag.alone import alone
from dbops.operations.lag.measures import Thresholds
from dbops.operations.lag.nodes import silent_node
from dbops.operations.lag.procedure import between
from dbops.operations.lag.result import Lag
from dbops.operations.lag.silence import no_reader, no_writer
from dbops.operations.lag.terms import Terms
from dbops.operations.lag.thresholds import DEFAULTS

# The last questions have to fit into the time too, and then the goodbyes.
_SHARE_TO_WAIT = 0.55
_SHARE_TO_ASK = 0.75


async def lag(
    writer: Connector | None,
    reader: Connector,
    *,
    limits: Mapping[Unit, Limit] = DEFAULTS,
    require_replica: bool = False,
    probe: bool = False,
    budget_s: float | None = None,
) -> Lag:
    """Wait on the reader for what the writer has flushed now.

    Args:
        writer: How to connect to the primary; without one, or where it gives no
            answer, only the reader is asked, and the answer is never ok.
        reader: How to connect to one standby.
        limits: From which lag on it is bad; the failing one is waited for at most.
        require_replica: Fail, not warn, where the reader is the writer itself.
        probe: First write one WAL record, so that something has to flow.
        budget_s: The time that all of it may take; less than the failing threshold
            may leave the answer uncertain.

    Raises:
        DbopsError: As `Connector.__call__`, for the writer, unless it only gives no
            answer and the reader does; and for a reader without a writer. A reader
            that gives no answer is a result, not an error.
    """
    started = asyncio.get_running_loop().time()
    async with _both(writer, reader) as (primary, standby):
        terms = Terms(limits, require_replica, probe)
        if budget_s is not None:
            terms = hurried(terms, started, budget_s)
        return await asked(primary, standby, terms, reader=reader)


def hurried(terms: Terms, started: float, budget_s: float) -> Terms:
    """Return the terms where all of it may take so long.

    Args:
        terms: What counts as bad.
        started: When it was begun, on the clock of the loop.
        budget_s: How long it may take since then.
    """
    spent_s = asyncio.get_running_loop().time() - started
    return terms._replace(
        limit_s=budget_s * _SHARE_TO_WAIT - spent_s,
        deadline=started + budget_s * _SHARE_TO_ASK,
    )


async def asked(
    primary: ReadOnly | DbopsError | None,
    standby: ReadOnly | DbopsError,
    terms: Terms,
    *,
    reader: Connector,
) -> Lag:
    """Ask whoever answers.

    Args:
        primary: The writer, why it gives no answer, or None where there is none.
        standby: The reader, or why it gives no answer.
        terms: What counts as bad.
        reader: How to connect to the reader.

    Raises:
        DbopsError: As `lag`.
    """
    if isinstance(standby, DbopsError):
        if not isinstance(primary, ReadOnly):
            raise primary or standby
        address = (await reader.endpoint()).addresses[0]
        found = no_reader(standby, address, writer=silent_node(primary.address))
        return found.model_copy(update={"thresholds": Thresholds.of(terms.limits)})
    if primary is None:
        return await alone(standby, terms)
    if isinstance(primary, ReadOnly):
        try:
            return await between(primary, standby, terms)
        except UnreachableError as error:
            primary = error
    if not isinstance(primary, UnreachableError):
        raise primary
    return no_writer(primary, await alone(standby, terms))


@asynccontextmanager
async def _both(
    writer: Connector | None, reader: Connector
) -> AsyncGenerator[tuple[ReadOnly | DbopsError | None, ReadOnly | DbopsError]]:
    """Connect to both at once."""
    async with AsyncExitStack() as stack:
        if writer is None:
            yield None, await opened(stack, reader)
            return
        yield await asyncio.gather(opened(stack, writer), opened(stack, reader))


async def opened(stack: AsyncExitStack, connector: Connector) -> ReadOnly | DbopsError:
    """Connect for as long as the stack lasts; return why not where that fails."""
    try:
        return ReadOnly(await stack.enter_async_context(connector.dialled()))
    except DbopsError as error:
        return error
