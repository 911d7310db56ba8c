"""May the application's whole fleet open more connections than there are?

A look at what is open now says nothing about the next deploy.
"""

from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import (
    ClusterCheck,
    Found,
    Limits,
    NotApplicableError,
    UndecidedError,
    severity,
)
from dbops.operations.doctor.servers import Cluster
from dbops.operations.pool.budget import SideBudget
from dbops.operations.pool.console import console
from dbops.operations.pool.fleet import fleet
from dbops.operations.pool.judge import Judge
from dbops.operations.pool.layout import sides
from dbops.operations.pool.led import laid_out, place
from dbops.operations.pool.server import server_connections
from dbops.operations.pool.thresholds import DEFAULTS
from dbops.results import Status

_REMEDY = (
    "lower the replicas, the workers, DBOPS_POOL_SIZE or DBOPS_MAX_OVERFLOW, raise "
    "max_connections, or put PgBouncer before the server; see: dbops pool"
)


async def find(cluster: Cluster, limits: Limits) -> Found:
    """Judge the fleet of the settings against each server."""
    settings = cluster.settings
    if settings.replicas is None:
        raise NotApplicableError("--replicas does not say how large the fleet is")
    for role, failure in cluster.failures.items():
        raise UndecidedError(f"the {role} gives no answer: {failure.message}")
    if cluster.writer is None:
        raise UndecidedError("no writer is configured")
    layout = laid_out(
        settings,
        {it.role: await server_connections(it.questions) for it in cluster.servers},
        {it.role: place(it.questions) for it in cluster.servers},
        pooler=await console(settings),
    )
    found = sides(layout, Judge(fleet(settings), limits["value"]))
    findings = [_finding(it) for it in found.values() if it.status is not Status.OK]
    return Found("; ".join(it.summary for it in found.values()), tuple(findings))


def _finding(side: SideBudget) -> Finding:
    more = f"; at most {side.max_replicas} replicas fit"
    return Finding(
        object=f"fleet on {side.side}",
        message=f"{side.summary}, as {side.equation}"
        + ("" if side.max_replicas is None else more),
        remedy=_REMEDY,
        severity=severity(side.status),
        role=None if side.side == "pgbouncer" else side.side,
    )


CHECK = ClusterCheck(
    id="D10",
    title="connection budget",
    question="May the application's fleet open more connections than there are?",
    find=find,
    limits={"value": DEFAULTS["%"]},
)
