"""What may the pools open, what does the server allow, who holds connections now?"""

import asyncio
from collections.abc import Awaitable
from typing import NamedTuple, TypeVar

from dbops.engine.connect import Connector, Connectors
from dbops.engine.read_only import ReadOnly
from dbops.errors import DbopsError
from dbops.limits import Limit
from dbops.operations.pool.answer import Pool, summary
from dbops.operations.pool.budget import Budget
from dbops.operations.pool.console import console
from dbops.operations.pool.engines import Role, engines
from dbops.operations.pool.fleet import fleet
from dbops.operations.pool.judge import Judge
from dbops.operations.pool.layout import budget as fitted
from dbops.operations.pool.led import laid_out, place
from dbops.operations.pool.pgbouncer import told
from dbops.operations.pool.pooler import PgBouncer
from dbops.operations.pool.routes import Place
from dbops.operations.pool.server import ServerConnections, server_connections
from dbops.operations.pool.thresholds import thresholds
from dbops.results import Problem, Status, worst
from dbops.settings import Settings

_T = TypeVar("_T")


class _Met(NamedTuple):
    """A server that has answered."""

    connections: ServerConnections
    place: Place


async def pool(
    writer: Connector, settings: Settings, *, reader: Connector | None = None
) -> Pool:
    """Compare the configured pools of a fleet with what its servers allow.

    Args:
        writer: How to connect to the writer.
        settings: The pools, the fleet and its thresholds, and where PgBouncer is.
        reader: How to connect to the reader; by default as the settings say.

    Returns:
        The answer; a reader or a PgBouncer that gives none is told in it.

    Raises:
        UsageError: If thresholds, surge or PgBouncer make no sense.
        ConfigError: If PgBouncer's setting is malformed.
        DbopsError: As `Connector.__call__`, for the writer.
    """
    # Nobody is asked before it is known that the question makes sense.
    limit, _, _ = (
        thresholds(settings.warn, settings.fail),
        fleet(settings),
        told(settings),
    )
    if reader is None and settings.has_reader:
        reader = Connectors(settings).connector("reader")
    # All are waited for, so that no connection outlives the answer.
    first, second, pooler = await asyncio.gather(
        _tried(_met(writer)),
        _tried(_met(reader) if reader else _nobody()),
        _tried(console(settings)),
    )
    if isinstance(first, DbopsError):
        raise first
    return _judged(settings, {"writer": first, "reader": second}, pooler, limit)


async def _met(connector: Connector) -> _Met:
    async with connector.dialled() as dialled:
        questions = ReadOnly(dialled)
        found = await server_connections(questions)
    others = len((await connector.endpoint()).addresses) - 1
    if connector.role == "reader" and others:
        # Each of them takes as many, and may allow less.
        note = f"this is one of the reader's hosts; {others} more were not asked"
        found = found.model_copy(update={"notes": (*found.notes, note)})
    return _Met(found, place(questions))


async def _nobody() -> None:
    return None


async def _tried(asking: Awaitable[_T]) -> _T | DbopsError:
    try:
        return await asking
    except DbopsError as error:
        return error


def _judged(
    settings: Settings,
    asked_for: dict[Role, "_Met | DbopsError | None"],
    pooler: PgBouncer | DbopsError | None,
    limit: Limit,
) -> Pool:
    met = {role: it for role, it in asked_for.items() if isinstance(it, _Met)}
    failures = [
        it for it in (*asked_for.values(), pooler) if isinstance(it, DbopsError)
    ]
    known = pooler if isinstance(pooler, PgBouncer) else None
    servers = {role: it.connections for role, it in met.items()}
    places = {role: it.place for role, it in met.items()}
    layout = laid_out(settings, servers, places, pooler=known)
    budget = fitted(layout, Judge(fleet(settings), limit))
    if failures:
        is_pooled = not isinstance(pooler, DbopsError)
        budget = _undecided(budget, failures[-1], is_demand_known=is_pooled)
    verdicts = [budget.status, *(it.status for it in servers.values())]
    verdicts += [known.status] if known else []
    verdicts += [Status.UNKNOWN] if failures else []
    return Pool(
        status=worst(verdicts),
        summary=summary(budget, servers, known),
        engines=engines(settings),
        server=servers["writer"],
        reader=servers.get("reader"),
        pgbouncer=known,
        budget=budget,
        error=Problem.of(failures[0]) if failures else None,
    )


def _undecided(budget: Budget, failure: DbopsError, *, is_demand_known: bool) -> Budget:
    """Say that nobody knows whether it fits; what is too much stays too much."""
    is_too_much = is_demand_known and budget.status is Status.FAIL
    return budget.model_copy(
        update={
            "status": Status.FAIL if is_too_much else Status.UNKNOWN,
            "demand": budget.demand if is_demand_known else None,
            "fits": False,
            "max_replicas": None,
            "bound_by": None,
            "reason": budget.reason if is_too_much else failure.message,
        }
    )
