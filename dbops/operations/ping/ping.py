"""Ask every endpoint at once, and tell what each has answered."""

import asyncio
from collections.abc import Mapping, Sequence

from dbops.endpoint import Role
from dbops.engine.connect import Connector
from dbops.limits import Limit, Unit
from dbops.operations.ping.answer import Latency, PingedEndpoint
from dbops.operations.ping.judgement import verdicts
from dbops.operations.ping.question import Identity
from dbops.operations.ping.result import Ping
from dbops.operations.ping.sample import Sample
from dbops.operations.ping.series import Series, series
from dbops.operations.ping.spread import Spread, percentiles
from dbops.operations.ping.thresholds import DEFAULTS
from dbops.results import Problem, Status, worst

_WORST_FIRST = (Status.FAIL, Status.UNKNOWN, Status.WARN, Status.OK)


async def ping(
    connectors: Mapping[Role, Connector],
    *,
    limits: Mapping[Unit, Limit] = DEFAULTS,
    count: int = 1,
    interval_s: float = 1.0,
    limit_s: float | None = None,
) -> Ping:
    """Connect to every endpoint at once and ask each who it is.

    Args:
        connectors: Role → how to connect to it.
        limits: From which total time on, and from which share of failed connections
            on, it is bad; of several connections the 95th percentile counts.
        count: How many connections to make to each, one after another.
        interval_s: The time between two of them.
        limit_s: How long all may take; None leaves each to its own time-outs.

    Returns:
        The answers; an endpoint that does not answer is one of them, not an error.
    """
    made = await asyncio.gather(
        *(
            series(connector, count=count, interval_s=interval_s, limit_s=limit_s)
            for connector in connectors.values()
        )
    )
    writer = next((_identity(it) for it in made if it.role == "writer"), None)
    endpoints = tuple(_endpoint(it, writer, limits) for it in made)
    by_worst = sorted(endpoints, key=lambda it: _WORST_FIRST.index(it.status))
    return Ping(
        status=worst(it.status for it in endpoints),
        summary="; ".join(it.summary for it in by_worst),
        endpoints=endpoints,
        warn_ms=_ms(limits["s"].warn),
        fail_ms=_ms(limits["s"].fail),
    )


def _ms(limit_s: float | None) -> float | None:
    return None if limit_s is None else limit_s * 1000


def _identity(series: Series) -> Identity | None:
    return series.samples[-1].identity if series.samples else None


def _endpoint(
    series: Series, writer: Identity | None, limits: Mapping[Unit, Limit]
) -> PingedEndpoint:
    if not series.samples:
        return _unanswered(series)
    last = series.samples[-1]
    judged = list(verdicts(series, writer, limits))
    status = worst(it.status for it in judged)
    who = last.identity
    return PingedEndpoint(
        role=series.role,
        status=status,
        host=last.address.host,
        port=last.address.port,
        server_version=who.server_version,
        system_identifier=who.system_identifier,
        is_in_recovery=who.is_in_recovery,
        is_read_only=who.is_read_only,
        tls=last.tls,
        latency_ms=last.latency,
        count=series.count,
        failed=len(series.failures),
        spread_ms=_spread(series.samples) if series.wanted > 1 else None,
        note="; ".join(it.message for it in judged if it.problem is None) or None,
        error=next((it.problem for it in judged if it.problem), None),
    )


def _unanswered(series: Series) -> PingedEndpoint:
    """Say which host was tried, where that much is known."""
    problem = Problem.of(series.failures[-1])
    return PingedEndpoint(
        role=series.role,
        status=Status.FAIL,
        host=series.tried.host if series.tried else None,
        port=series.tried.port if series.tried else None,
        count=series.count,
        failed=len(series.failures),
        error=problem,
    )


def _spread(samples: Sequence[Sample]) -> Spread:
    found = {}
    for phase in Latency.model_fields:
        values = [getattr(it.latency, phase) for it in samples]
        known = [value for value in values if value is not None]
        if known:
            found[phase] = percentiles(known)
    return Spread(**found)
