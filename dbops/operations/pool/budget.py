"""Does the fleet fit?"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from dbops.limits import Limit
from dbops.operations.pool.demand import Demand, Term
from dbops.operations.pool.fleet import Fleet
from dbops.results import Model, Status, worst

Side = Literal["writer", "reader", "pgbouncer"]
"""What takes connections: a server, or a pooler that takes its clients'."""

_NAMES: Mapping[Side, str] = {
    "writer": "the writer",
    "reader": "the reader",
    "pgbouncer": "PgBouncer",
}


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


@dataclass(frozen=True)
class Judge:
    """Judges demands by one set of thresholds."""

    fleet: Fleet
    limit: Limit
    """In percent of what is usable; reached is not yet passed."""

    def budget(self, side: Side, demand: Demand, usable: int) -> SideBudget:
        """Judge one side."""
        total = demand.total
        status = self._status(total, usable)
        share = None if total is None or not usable else 100 * total / usable
        return SideBudget(
            status=status,
            side=side,
            usable=usable,
            demand=total,
            share_percent=None if share is None else round(share, 1),
            equation=demand.equation,
            terms=demand.terms,
            fits=self._fits(total, usable),
            max_replicas=self._most_replicas(demand, usable),
            reason=self._reason(side, demand, usable),
        )

    def what_if(self, name: str, side: Side, demand: Demand, usable: int) -> WhatIf:
        """Judge one situation."""
        total = demand.total
        return WhatIf(
            status=self._status(total, usable),
            name=name,
            side=side,
            demand=total,
            usable=usable,
            fits=self._fits(total, usable),
        )

    def _status(self, total: int | None, usable: int) -> Status:
        if total is None:
            # Nothing is known to be too much; as a gate it must not open.
            return Status.WARN if self.fleet.replicas is None else Status.FAIL
        if total > self._room(usable, self.limit.fail):
            return Status.FAIL
        return Status.WARN if total > self._room(usable, self.limit.warn) else Status.OK

    def _fits(self, total: int | None, usable: int) -> bool:
        return total is not None and total <= self._room(usable, self.limit.fail)

    def _room(self, usable: int, percent: float | None) -> Fraction:
        return usable * Fraction(str(100 if percent is None else percent)) / 100

    def _most_replicas(self, demand: Demand, usable: int) -> int | None:
        room = self._room(usable, self.limit.fail) - demand.fixed
        if demand.per_pod is None:
            return None
        if room < 0:
            return 0
        if not demand.per_pod:
            return None
        return self.fleet.most_replicas(int(room / demand.per_pod))

    def _reason(self, side: Side, demand: Demand, usable: int) -> str | None:
        if demand.total is None:
            return (
                f"{demand.unlimited_by} takes the limit off the pool: nobody can say "
                f"that {_NAMES[side]} has room for it"
            )
        if not self._fits(demand.total, usable):
            return self._too_much(side, demand.total, usable)
        if demand.per_pod == 0:
            return "PgBouncer limits what the server sees, whatever the replicas"
        return None

    def _too_much(self, side: Side, total: int, usable: int) -> str:
        kind = "client" if side == "pgbouncer" else "usable"
        said = f"{_NAMES[side]} would get {total} of {usable} {kind} connections"
        most = self.limit.fail
        return said if most in (None, 100) else f"{said}, and may get {most:g}% of them"


def whole(
    sides: Mapping[Side, SideBudget], what_ifs: tuple[WhatIf, ...] = ()
) -> Budget:
    """Put the sides together; the worst decides, the least counts."""
    writer = sides["writer"]
    counted = [it for it in sides.values() if it.max_replicas is not None]
    least = min(counted, key=lambda it: it.max_replicas or 0, default=None)
    unlimited = any(it.demand is None for it in sides.values())
    bound = None if unlimited else least
    reasons = [it.reason for it in sorted(sides.values(), key=lambda it: it.fits)]
    fits = all(it.fits for it in sides.values())
    return Budget(
        status=worst(it.status for it in sides.values()),
        demand=writer.demand,
        usable=writer.usable,
        equation=writer.equation,
        terms=writer.terms,
        fits=fits,
        max_replicas=bound.max_replicas if bound else None,
        bound_by=bound.side if bound else None,
        reason=None
        if fits and bound
        else next((it for it in reasons if it is not None), None),
        reader=sides.get("reader"),
        pgbouncer=sides.get("pgbouncer"),
        what_ifs=what_ifs,
    )
