"""How do the times of many connections spread?"""

from collections.abc import Sequence
from math import ceil

from dbops.results import Model


class Percentiles(Model):
    """One phase over all connections that answered, in milliseconds."""

    min: float
    """The fastest."""
    p50: float
    """Half of them were as fast."""
    p95: float
    """Of a hundred, ninety-five."""
    p99: float
    """Of a hundred, ninety-nine."""


class Spread(Model):
    """Each phase over all connections that answered; null for one that was not run."""

    resolve: Percentiles | None = None
    """Looking up the host name."""
    connect: Percentiles | None = None
    """Opening the connection."""
    tls: Percentiles | None = None
    """Agreeing on TLS."""
    auth: Percentiles | None = None
    """Proving who we are."""
    query: Percentiles | None = None
    """The first query."""
    total: Percentiles
    """All of it."""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values that `share` of them do not exceed.

    Never a value in between: nothing took that long.
    """
    return sorted(values)[max(ceil(len(values) * share) - 1, 0)]


def percentiles(values: Sequence[float]) -> Percentiles:
    """Return how some times spread."""
    return Percentiles(
        min=min(values),
        p50=percentile(values, 0.5),
        p95=percentile(values, 0.95),
        p99=percentile(values, 0.99),
    )
