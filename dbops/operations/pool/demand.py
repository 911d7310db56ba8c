"""What may the fleet open on one server, term by term?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import Self

from dbops.operations.pool.engines import PoolSettings, Role
from dbops.operations.pool.fleet import Fleet
from dbops.operations.pool.term import (
    APPLICATION,
    HUMANS,
    MIGRATIONS,
    MONITORING,
    Term,
)


@dataclass(frozen=True)
class Demand:
    """What may be opened on one server."""

    per_pod: Fraction | None
    """What each replica of the service adds; None for no limit."""
    terms: tuple[Term, ...]
    """All summands."""
    unlimited_by: str | None = None
    """What takes the limit away."""

    @property
    def total(self) -> int | None:
        """What all add up to; None when one has no limit."""
        counts = [it.connections for it in self.terms]
        return (
            sum(it for it in counts if it is not None) if None not in counts else None
        )

    @property
    def fixed(self) -> int:
        """What does not depend on the number of replicas."""
        return sum(it.connections or 0 for it in self.terms if it.name != "service")

    @property
    def equation(self) -> str:
        """All of it on one line."""
        sums = " + ".join(it.how for it in self.terms)
        return f"{sums} = {'no limit' if self.total is None else self.total}"

    def application(self) -> tuple[Term, ...]:
        """Return the terms that follow the application where it goes."""
        return tuple(it for it in self.terms if it.name in APPLICATION)

    def joined_by(self, other: Self) -> Self:
        """Return the demand with another application's on top."""
        return replace(
            self,
            per_pod=None
            if self.per_pod is None or other.per_pod is None
            else self.per_pod + other.per_pod,
            terms=(*self.terms, *other.application()),
            unlimited_by=self.unlimited_by or other.unlimited_by,
        )


def direct(
    fleet: Fleet, engines: Sequence[PoolSettings], *, shared_by: int = 1
) -> Demand:
    """Return what the application opens by itself.

    Args:
        fleet: Its processes.
        engines: The pools of each process that lead there.
        shared_by: How many servers share it evenly.
    """
    unlimited_by = next((it.unlimited_by for it in engines if it.most is None), None)
    pools = " + ".join(it.equation for it in engines)
    each = _Each(
        most=None if unlimited_by else sum(it.most or 0 for it in engines),
        how=f"({pools})" if len(engines) > 1 else pools,
        shared_by=shared_by,
    )
    named = " and the ".join(it.role for it in engines)
    pods = "one replica" if fleet.replicas is None else "pods during a deploy"
    service = each.of(
        fleet.pods(fleet.replicas or 1) * fleet.workers,
        name="service",
        how=f"{fleet.pods_text()} * {fleet.workers}",
        why=f"{pods} * workers * (pool_size + max_overflow) to the {named}",
    )
    jobs = each.of(
        fleet.jobs,
        name="jobs",
        how=f"{fleet.jobs}",
        why="processes of jobs, each with pools of its own",
    )
    return Demand(
        None if each.most is None else Fraction(fleet.workers * each.most, shared_by),
        (service, jobs) if fleet.jobs else (service,),
        unlimited_by,
    )


@dataclass(frozen=True)
class _Each:
    """What each process opens."""

    most: int | None
    how: str
    shared_by: int

    def of(self, processes: int, *, name: str, how: str, why: str) -> Term:
        """Return the term of so many processes."""
        how = f"{how} * {self.how}"
        if self.shared_by > 1:
            how = f"ceil({how} / {self.shared_by})"
            why = f"{why}; over {self.shared_by} readers"
        total = None if self.most is None else Fraction(processes * self.most)
        return Term(
            name=name,
            connections=None if total is None else ceil(total / self.shared_by),
            how=how,
            why=why,
        )


def pooled(pooler: Term) -> Demand:
    """Return what a pooler opens, however many replicas stand before it."""
    return Demand(Fraction(0), (pooler,))


def with_constants(demand: Demand, role: Role, fleet: Fleet) -> Demand:
    """Add what every database of a fleet has besides its application."""
    if fleet.replicas is None:
        return demand
    migrations = (MIGRATIONS,) if role == "writer" else ()
    return replace(demand, terms=(*demand.terms, *migrations, MONITORING, HUMANS))
