"""Does what may be opened fit?"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from dbops.limits import Limit
from dbops.operations.pool.budget import NAMES, Budget, Side, SideBudget, WhatIf
from dbops.operations.pool.demand import Demand
from dbops.operations.pool.fleet import Fleet
from dbops.results import Status, worst


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
        return self.fleet.most_replicas(int(int(room) / demand.per_pod))

    def _reason(self, side: Side, demand: Demand, usable: int) -> str | None:
        if demand.total is None:
            return (
                f"{demand.unlimited_by} takes the limit off the pool: nobody can say "
                f"that {NAMES[side]} has room for it"
            )
        if not self._fits(demand.total, usable):
            return self._too_much(side, demand.total, usable)
        if demand.per_pod == 0:
            return "PgBouncer limits what the server sees, whatever the replicas"
        return None

    def _too_much(self, side: Side, total: int, usable: int) -> str:
        kind = "client" if side == "pgbouncer" else "usable"
        said = f"{NAMES[side]} would get {total} of {usable} {kind} connections"
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
