"""What is said about whether a fleet fits?"""

from collections.abc import Mapping
from typing import Literal

from dbops.operations.pool.term import Term
from dbops.results import Model, Status

Side = Literal["writer", "reader", "pgbouncer"]
"""What takes connections: a server, or a pooler that takes its clients'."""

NAMES: Mapping[Side, str] = {
    "writer": "the writer",
    "reader": "the reader",
    "pgbouncer": "PgBouncer",
}
"""What a sentence calls each."""


class SideBudget(Model):
    """Whether what may be opened on one side fits."""

    status: Status
    """The demand against what is usable."""
    side: Side
    """`writer` or `reader`; `pgbouncer` for the clients of that."""
    usable: int
    """What may be opened there."""
    demand: int | None
    """What all terms add up to; null when one of them has no limit."""
    share_percent: float | None
    """The demand in percent of what is usable; null when it has no limit."""
    equation: str
    """The terms added up."""
    terms: tuple[Term, ...]
    """The summands."""
    fits: bool
    """Whether the demand is no failure; what has no limit never fits."""
    max_replicas: int | None
    """How many replicas fit; null where no number does for certain, or any does."""
    reason: str | None = None
    """Why it does not fit, or why there is no such number."""

    @property
    def summary(self) -> str:
        """What may be opened, as a sentence."""
        kind = "client" if self.side == "pgbouncer" else "usable"
        asked = "no end" if self.demand is None else self.demand
        where = f"{self.usable} {kind} connections of {NAMES[self.side]}"
        return f"the pools may open {asked} of {where}"


class WhatIf(Model):
    """The same question in a situation that comes sooner or later."""

    status: Status
    """As of a budget; it does not count for the verdict."""
    name: str
    """Which situation."""
    side: Side
    """Where it is felt."""
    demand: int | None
    """What would be opened; null when there is no limit."""
    usable: int
    """What may be."""
    fits: bool
    """Whether it fits."""


class Budget(Model):
    """Whether the fleet fits everywhere; one process, where no replicas are said."""

    status: Status
    """The worst of writer, reader and pooler."""
    demand: int | None
    """Of the writer: what all terms add up to; null when one of them has no limit."""
    usable: int
    """Of the writer: what may be opened."""
    equation: str
    """Of the writer: the terms added up."""
    terms: tuple[Term, ...]
    """Of the writer: the summands."""
    fits: bool
    """Whether it fits everywhere; what has no limit never does."""
    max_replicas: int | None
    """How many replicas fit everywhere; null where no number does for certain, or
    any does."""
    bound_by: Side | None
    """Which side allows no more of them; null when none sets a number."""
    reason: str | None = None
    """Why it does not fit, or why there is no such number."""
    reader: SideBudget | None = None
    """The reader's; null without one, and where it is the writer's own server."""
    pgbouncer: SideBudget | None = None
    """PgBouncer's clients against its max_client_conn; null where that is unknown."""
    what_ifs: tuple[WhatIf, ...] = ()
    """What happens at a deploy and after a failover; none without replicas."""
