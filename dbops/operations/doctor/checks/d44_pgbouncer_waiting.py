"""Do PgBouncer's clients wait for a connection of the server?"""

from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import (
    ClusterCheck,
    Found,
    Limits,
    NotApplicableError,
    severity,
)
from dbops.operations.doctor.servers import Cluster
from dbops.operations.pool.console import console
from dbops.operations.pool.pooler import WAITING, Pooled
from dbops.results import Status
from dbops.units import duration_text


async def find(cluster: Cluster, limits: Limits) -> Found:
    """Grade the longest wait of each pool."""
    found = await console(cluster.settings, limit=limits["value"])
    if found is None:
        raise NotApplicableError("--pgbouncer does not say where its admin console is")
    findings = [_finding(it) for it in found.pools if it.status is not Status.OK]
    return Found(found.summary, tuple(findings), found.notes)


def _finding(pool: Pooled) -> Finding:
    # https://www.pgbouncer.org/usage.html#show-pools
    return Finding(
        object=f"pool {pool.database}/{pool.user}",
        message=f"{pool.clients_waiting} clients wait for one of its {pool.servers} "
        f"connections, the first for {duration_text(pool.maxwait_s)}",
        remedy="see who holds them with SHOW SERVERS; end long transactions, or raise "
        "pool_size as far as the server has connections (see: dbops pool)",
        severity=severity(pool.status),
    )


CHECK = ClusterCheck(
    id="D44",
    title="waiting for PgBouncer",
    question="Do PgBouncer's clients wait for a connection of the server?",
    find=find,
    limits={"value": WAITING},
)
