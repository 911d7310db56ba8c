"""Is the reader fresh, is the pipeline sound, and if not, why?

The truth about freshness is a token: the writer's flushed WAL position, waited for on
the reader. It needs no privilege, no common clock and no traffic. Flushed, not
inserted: a standby may receive only what is flushed.
"""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any

from dbops.engine.connect import Connection, Connector, Dialled
from dbops.errors import DbopsError, RefusedError, UnreachableError
from dbops.limits import Limit, Unit
from dbops.operations.lag.answer import Cause, Freshness, Lag, Node, Pipeline
from dbops.operations.lag.judgement import Observed, compared, decided, measured
from dbops.operations.lag.questions import BEHIND, ON_READER, ON_WRITER, REPLAYED
from dbops.operations.lag.thresholds import DEFAULTS
from dbops.results import Problem, Status

FIRST_POLL_S = 0.02
LONGEST_POLL_S = 0.2


async def lag(
    writer: Connector,
    reader: Connector,
    *,
    limits: Mapping[Unit, Limit] = DEFAULTS,
    require_replica: bool = False,
) -> Lag:
    """Wait on the reader for what the writer has flushed now.

    Args:
        writer: How to connect to the primary.
        reader: How to connect to one standby.
        limits: From which lag on it is bad; the failing one is waited for at most.
        require_replica: Fail, not warn, where the reader is the writer itself.

    Raises:
        RefusedError: If the server given as the writer is a standby.
        DbopsError: As `Connector.__call__`, for the writer. A reader that gives no
            answer is a result, not an error.
    """
    staleness = limits["s"]
    fail_s = staleness.fail or 0.0
    async with writer.dialled() as primary:
        token = await _only_row(primary.connection, ON_WRITER)
        here = _node(primary, token)
        if token["is_in_recovery"]:
            raise RefusedError(
                f"{primary.address} is given as the writer and is a standby",
                hint="point DATABASE_URL at the primary",
                phase="query",
            )
        try:
            async with reader.dialled() as standby:
                state = await _only_row(standby.connection, ON_READER)
                there = _node(standby, state)
                verdict = compared(token, state, require_replica=require_replica)
                if verdict is not None:
                    return decided(verdict, writer=here, reader=there)
                observed = await _observed(standby.connection, token, fail_s)
        except DbopsError as error:
            return await _unreachable(reader, here, error)
    return measured(
        observed, warn_s=staleness.warn or 0.0, fail_s=fail_s, writer=here, reader=there
    )


async def _observed(
    reader: Connection, token: dict[str, Any], limit_s: float
) -> Observed:
    caught_up_s = await _waited(reader, token["token"], limit_s)
    behind = await _only_row(reader, BEHIND, token["token"], token["clock"])
    # The pipeline as it is now: it may have broken while we waited.
    return Observed(await _only_row(reader, ON_READER), behind, caught_up_s)


async def _only_row(
    connection: Connection, query: str, *arguments: object
) -> dict[str, Any]:
    row = await connection.fetchrow(query, *arguments)
    assert row is not None  # the queries return one row by construction  # noqa: S101
    return dict(row)


def _node(dialled: Dialled, row: dict[str, Any]) -> Node:
    address = dialled.address
    return Node(
        host=address.host, port=address.port, is_in_recovery=row["is_in_recovery"]
    )


async def _unreachable(reader: Connector, writer: Node, error: DbopsError) -> Lag:
    try:
        first = (await reader.endpoint()).addresses[0]
    except DbopsError:
        raise error from None
    return Lag(
        status=Status.UNKNOWN if isinstance(error, UnreachableError) else Status.FAIL,
        freshness=Freshness.UNKNOWN,
        pipeline=Pipeline.UNKNOWN,
        cause=Cause.READER_UNREACHABLE,
        summary="the reader gives no answer, so its lag is unknown",
        reader=Node(host=first.host, port=first.port, is_in_recovery=None),
        writer=writer,
        error=Problem.of(error),
    )


async def _waited(reader: Connection, token: str, limit_s: float) -> float | None:
    """Poll until the token is replayed; return the seconds it took, None if never."""
    started = monotonic()
    pause_s = FIRST_POLL_S
    while True:
        replayed = await reader.fetchval(REPLAYED, token)
        elapsed_s = monotonic() - started
        if replayed:
            return elapsed_s
        if elapsed_s >= limit_s:
            return None
        await asyncio.sleep(min(pause_s, limit_s - elapsed_s))
        pause_s = min(pause_s * 1.5, LONGEST_POLL_S)
