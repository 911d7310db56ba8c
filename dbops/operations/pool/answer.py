"""What a look at the pools answers."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from typing_extensions import override

from dbops.operations.pool.budget import Budget, SideBudget
from dbops.operations.pool.engines import PoolSettings, Role
from dbops.operations.pool.pooler import WAITING, PgBouncer
from dbops.operations.pool.server import SATURATION, ServerConnections
from dbops.results import Checked, Measure, Problem, Result, Status


class Pool(Result):
    """Pools, servers and budget."""

    summary: str
    """The answer in one sentence."""
    engines: tuple[PoolSettings, ...]
    """The configured pools."""
    server: ServerConnections
    """The writer's server."""
    reader: ServerConnections | None = None
    """The reader's server; null without one, and where it gives no answer."""
    pgbouncer: PgBouncer | None = None
    """What PgBouncer's console says; null where none was asked, or none answered."""
    budget: Budget
    """The fleet against those servers; one process, where no replicas are said."""
    error: Problem | None = None
    """Why the reader or PgBouncer gave no answer; null when both did."""

    @property
    @override
    def problem(self) -> Problem | None:
        return self.error

    @override
    def checked(self) -> Sequence[Checked]:
        budget = self.budget
        found = [
            Checked("budget", "the pools fit", budget.status, budget_summary(budget))
        ]
        for role, server in self._servers():
            title = f"the {role} has connections left"
            found.append(Checked(role, title, server.status, server.summary))
        if self.pgbouncer is not None:
            it = self.pgbouncer
            title = "PgBouncer's clients do not wait"
            found.append(Checked("pgbouncer", title, it.status, it.summary))
        if self.error is not None:
            title, why = "every server answers", self.error.message
            found.append(Checked("answer", title, Status.UNKNOWN, why))
        return found

    @override
    def measures(self) -> Sequence[Measure]:
        return [*self._of_servers(), *self._of_budget(), *self._of_pgbouncer()]

    def _servers(self) -> list[tuple[str, ServerConnections]]:
        both = [("writer", self.server), ("reader", self.reader)]
        return [(role, it) for role, it in both if it is not None]

    def _of_servers(self) -> Iterator[Measure]:
        for role, server in self._servers():
            labels = {"role": role}
            room = server.max_connections - server.reserved
            yield Measure(
                "pool_connections",
                server.in_use,
                labels=labels,
                warn=room * (SATURATION.warn or 0) / 100,
                fail=room * (SATURATION.fail or 0) / 100,
                about="Client connections of the server.",
            )
            yield Measure(
                "pool_usable",
                server.usable,
                labels=labels,
                about="Connections that the application may open.",
            )
            holders = sorted(server.by_application, key=lambda it: it.state)
            for state, held in groupby(holders, key=lambda it: it.state):
                yield Measure(
                    "pool_connections_by_state",
                    sum(it.connections for it in held),
                    labels={**labels, "state": state},
                    about="Client connections by their state.",
                )

    def _of_budget(self) -> Iterator[Measure]:
        budget = self.budget
        demands = [("writer", budget.demand)]
        others: list[SideBudget | None] = [budget.reader, budget.pgbouncer]
        demands += [(it.side, it.demand) for it in others if it is not None]
        for side, demand in demands:
            yield Measure(
                "pool_demand",
                demand,
                labels={"side": side},
                about="Connections that the fleet may open at most.",
            )
        yield Measure(
            "pool_max_replicas",
            budget.max_replicas,
            about="Replicas of the application that fit.",
        )

    def _of_pgbouncer(self) -> Iterator[Measure]:
        if self.pgbouncer is None:
            return
        yield Measure(
            "pgbouncer_clients_waiting",
            self.pgbouncer.clients_waiting,
            about="Clients of PgBouncer that wait for a connection.",
        )
        yield Measure(
            "pgbouncer_maxwait",
            self.pgbouncer.maxwait_s,
            "s",
            warn=WAITING.warn,
            fail=WAITING.fail,
            about="How long the first of them has waited.",
        )


def summary(
    budget: Budget,
    servers: Mapping[Role, ServerConnections],
    pooler: PgBouncer | None,
) -> str:
    """Say all of it in one sentence."""
    said = [budget_summary(budget)]
    said += [f"{role}: {it.summary}" for role, it in servers.items()]
    said += [pooler.summary] if pooler else []
    return "; ".join(said)


def budget_summary(budget: Budget) -> str:
    """Say in one sentence whether it fits."""
    if budget.status is Status.UNKNOWN:
        return f"nobody can say whether the pools fit: {budget.reason}"
    said = f"the pools may open {_of(budget.demand, budget.usable)} of the writer"
    if budget.reader is not None:
        said += f", {_of(budget.reader.demand, budget.reader.usable)} of the reader"
    if not budget.fits:
        said = f"the pools do not fit: {budget.reason}"
    if budget.max_replicas is not None:
        said += f"; at most {budget.max_replicas} replicas fit"
    failing = [it.name for it in budget.what_ifs if not it.fits]
    if budget.fits and failing:
        said += f"; they would not fit in: {', '.join(dict.fromkeys(failing))}"
    return said


def _of(demand: int | None, usable: int) -> str:
    asked = "no end" if demand is None else str(demand)
    return f"{asked} of {usable} usable connections"
