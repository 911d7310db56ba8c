"""Is the reader fresh, and is the pipeline sound? Asked over two open connections.

The truth about freshness is a token: the writer's flushed WAL position, waited for on
the reader. It needs no privilege, no common clock and no traffic.
"""

from time import monotonic

from dbops.engine.aurora import IS_AURORA
from dbops.engine.read_only import ReadOnly
from dbops.errors import DbopsError
from dbops.operations.lag.answer import Answer
from dbops.operations.lag.aurora import on_aurora
from dbops.operations.lag.identity import broken, decided, writer_is_standby
from dbops.operations.lag.judgement import measured
from dbops.operations.lag.kinds import Cause
from dbops.operations.lag.measures import Thresholds
from dbops.operations.lag.nodes import node_of, silent_node
from dbops.operations.lag.result import Lag
from dbops.operations.lag.silence import no_reader
from dbops.operations.lag.terms import Terms
from dbops.operations.lag.waiting import Observed
from dbops.operations.lag.watching import SilentReaderError, watched, written
from dbops.operations.replica.judgement import Token
from dbops.operations.replica.questions import ON_WRITER


async def between(writer: ReadOnly, reader: ReadOnly, terms: Terms) -> Lag:
    """Wait on the reader for what the writer has flushed now.

    Args:
        writer: The server that is given as the writer.
        reader: One of its readers.
        terms: What counts as bad.

    Raises:
        DbopsError: As `ReadOnly.rows`, for the writer. A reader that gives no answer
            is a result, not an error.
    """
    found = await _answered(writer, reader, terms)
    return found.model_copy(update={"thresholds": Thresholds.of(terms.limits)})


async def _answered(writer: ReadOnly, reader: ReadOnly, terms: Terms) -> Lag:
    is_aurora = await writer.value(IS_AURORA)
    try:
        is_reader_aurora = await reader.value(IS_AURORA)
    except DbopsError as error:
        return no_reader(error, reader.address, writer=silent_node(writer.address))
    if is_aurora and is_reader_aurora:
        return await on_aurora(
            writer,
            reader,
            limit=terms.limits["s"],
            require_replica=terms.require_replica,
        )
    if is_aurora or is_reader_aurora:
        answer = broken(
            Cause.WRONG_CLUSTER,
            "one of the two servers is Aurora, and the other is not",
            "check DATABASE_URL and DATABASE_READER_URL",
            reader=silent_node(reader.address),
        )
        return Lag(**dict(answer), writer=silent_node(writer.address))
    return await _compared(writer, reader, terms)


async def _compared(writer: ReadOnly, reader: ReadOnly, terms: Terms) -> Lag:
    asked, row = monotonic(), await writer.row(ON_WRITER)
    here = node_of(writer.address, row)
    if row["is_in_recovery"]:
        return writer_is_standby(here, silent_node(reader.address))
    if terms.probe:
        await written(writer)
        asked, row = monotonic(), await writer.row(ON_WRITER)
    try:
        token, observed = await watched(writer, reader, row, terms, asked=asked)
    except SilentReaderError as error:
        return no_reader(error.why, reader.address, writer=here)
    return Lag(**dict(_judged(observed, token, reader, terms)), writer=here)


def _judged(observed: Observed, token: Token, reader: ReadOnly, terms: Terms) -> Answer:
    there = node_of(reader.address, observed.last.state)
    alone = decided(
        token, observed.last, reader=there, require_replica=terms.require_replica
    )
    if alone is not None:
        return alone
    return measured(observed, token, limits=terms.limits, reader=there)
