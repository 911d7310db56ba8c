"""Which demand lands where, now and when something happens?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dbops.limits import Amount
from dbops.operations.pool.budget import Budget, Side, SideBudget, WhatIf
from dbops.operations.pool.demand import Demand, direct, pooled, with_constants
from dbops.operations.pool.engines import PoolSettings, Role
from dbops.operations.pool.fleet import Fleet
from dbops.operations.pool.judge import Judge, whole
from dbops.operations.pool.term import Term


@dataclass(frozen=True)
class Layout:
    """Where the pools of an application lead."""

    engines: Sequence[PoolSettings]
    """Those of each process."""
    usable: Mapping[Side, int]
    """What may be opened on each side; a reader that is the writer's own server, or
    gave no answer, is none."""
    poolers: Mapping[Role, Term]
    """What a pooler opens on a server; that is all the application has there."""
    is_one_server: bool = False
    """Whether the reader's pools lead to the writer's server."""

    def demands(self, fleet: Fleet) -> dict[Side, Demand]:
        """Return what a fleet may open on each side."""
        found: dict[Side, Demand] = {}
        roles: tuple[Role, ...] = ("writer", "reader")
        for role in roles:
            if role in self.usable:
                found[role] = with_constants(self._opened(role, fleet), role, fleet)
        if "pgbouncer" in self.usable:
            found["pgbouncer"] = direct(fleet, self._behind_pooler())
        return found

    def _opened(self, role: Role, fleet: Fleet) -> Demand:
        if role in self.poolers:
            return pooled(self.poolers[role])
        landing = [it for it in self.engines if self.is_one_server or it.role == role]
        return direct(
            fleet, landing, shared_by=fleet.readers if role == "reader" else 1
        )

    def _behind_pooler(self) -> list[PoolSettings]:
        """Return the pools whose connections a pooler takes."""
        return [
            it for it in self.engines if it.role in self.poolers or self.is_one_server
        ]


def sides(layout: Layout, judge: Judge) -> dict[Side, SideBudget]:
    """Judge the fleet on every side."""
    return {
        side: judge.budget(side, demand, layout.usable[side])
        for side, demand in layout.demands(judge.fleet).items()
    }


def budget(layout: Layout, judge: Judge) -> Budget:
    """Judge the fleet on every side, and in what may happen to it."""
    found = sides(layout, judge)
    if judge.fleet.replicas is None:
        return whole(found)
    return whole(found, (*_deploys(layout, judge), *_failovers(layout, judge)))


def _deploys(layout: Layout, judge: Judge) -> Iterator[WhatIf]:
    """Judge what the pods of a deploy open that run side by side."""
    replicas = judge.fleet.replicas or 1
    situations = {
        "between deploys": _at_once(judge.fleet, replicas),
        "rolling deploy": judge.fleet,
        # A pod that ends is not counted by maxSurge, and has its connections still.
        "deploy beside all old pods": _at_once(judge.fleet, 2 * replicas),
    }
    for name, fleet in situations.items():
        for side, demand in layout.demands(fleet).items():
            if demand.per_pod != 0:
                yield judge.what_if(name, side, demand, layout.usable[side])


def _failovers(layout: Layout, judge: Judge) -> Iterator[WhatIf]:
    """Judge what is left of the servers when one of them is gone."""
    if "reader" not in layout.usable:
        return
    # None of them shares any more.
    alone = layout.demands(replace(judge.fleet, readers=1))
    yield judge.what_if(
        "failover: the readers' demand lands on the writer",
        "writer",
        alone["writer"].joined_by(alone["reader"]),
        # It may be the former reader that is the writer then.
        min(layout.usable["writer"], layout.usable["reader"]),
    )
    readers = judge.fleet.readers
    if readers > 1:
        fewer = replace(judge.fleet, readers=readers - 1)
        demand = layout.demands(fewer)["reader"]
        yield judge.what_if(
            "failover: one reader fewer", "reader", demand, layout.usable["reader"]
        )


def _at_once(fleet: Fleet, pods: int) -> Fleet:
    """Return the same fleet with so many pods, and no more to come."""
    return replace(fleet, replicas=pods, surge=Amount(0, ""))
