"""The numbers of a ping, as monitoring systems take them."""

from collections.abc import Iterator

from dbops.operations.ping.answer import PingedEndpoint
from dbops.results import Measure


def measures_of(
    it: PingedEndpoint, limits_ms: tuple[float | None, float | None]
) -> Iterator[Measure]:
    """Yield the numbers of one endpoint.

    Args:
        it: What it has answered.
        limits_ms: From which total on it is worth a warning, and fails.
    """
    role = {"role": it.role}
    yield Measure(
        "ping_up",
        float(it.latency_ms is not None),
        labels=role,
        about="Whether it answers.",
    )
    yield Measure(
        "ping_total",
        _seconds(_graded_ms(it)),
        "s",
        role,
        _seconds(limits_ms[0]),
        _seconds(limits_ms[1]),
        "From the name to the first answer; p95 of several connections.",
    )
    phases = () if it.latency_ms is None else list(it.latency_ms)[:-1]
    for phase, ms in phases:
        # A phase that is not run is no number that we lack.
        if ms is not None:
            about = "Where the time went."
            labels = {**role, "phase": phase}
            yield Measure("ping_phase", _seconds(ms), "s", labels, about=about)
    if it.spread_ms is not None:
        for name, ms in it.spread_ms.total:
            about = "How the totals of all connections spread."
            labels = {**role, "quantile": name}
            yield Measure("ping_spread", _seconds(ms), "s", labels, about=about)
    if it.count > 1:
        share = 100 * it.failed / it.count
        about = "Connections that gave no answer."
        yield Measure("ping_failed", share, "%", role, about=about)
    if it.tls is not None and it.tls.in_use:
        days = it.tls.certificate_days_left
        left_s = None if days is None else days * 86400
        about = "Until the server's certificate ends."
        yield Measure("ping_certificate_left", left_s, "s", role, about=about)


def _graded_ms(it: PingedEndpoint) -> float | None:
    """Return the time that is held against the thresholds."""
    if it.spread_ms is not None:
        return it.spread_ms.total.p95
    return None if it.latency_ms is None else it.latency_ms.total


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000
