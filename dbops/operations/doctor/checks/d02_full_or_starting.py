"""Is a server that gives no answer full, or starting, rather than down?

Each wants something else done about it, and neither a restart.
"""

from dbops.errors import DbopsError
from dbops.operations.doctor.answer import Finding, Role, Severity
from dbops.operations.doctor.check import ClusterCheck, Found, Limits
from dbops.operations.doctor.servers import Cluster

# https://www.postgresql.org/docs/current/errcodes-appendix.html
FULL, NOT_READY = "53300", "57P03"


async def find(cluster: Cluster, limits: Limits) -> Found:  # noqa: ARG001 # it has none
    """Tell the servers that turn us away from those that are not there."""
    findings, told = [], []
    for role, failure in cluster.failures.items():
        finding = _finding(role, failure)
        if finding is None:
            told.append(f"the {role} is neither full nor starting, see D01")
        else:
            findings.append(finding)
            told.append(finding.message)
    told += [f"the {server.role} takes connections" for server in cluster.servers]
    return Found("; ".join(told), tuple(findings))


def _finding(role: Role, failure: DbopsError) -> Finding | None:
    if failure.sqlstate == FULL:
        return Finding(
            object=role,
            message=f"the {role} is full: {failure.message}",
            remedy="SELECT usename, application_name, state, count(*) FROM "
            "pg_stat_activity GROUP BY 1, 2, 3 ORDER BY 4 DESC -- as a superuser, or "
            "with pg_use_reserved_connections, for whom connections are kept",
            severity=Severity.FAIL,
            role=role,
        )
    if failure.sqlstate == NOT_READY:
        return Finding(
            object=role,
            message=f"the {role} is starting, stopping or recovering: "
            f"{failure.message}",
            remedy="wait for it: dbops wait --for database --timeout 5m",
            severity=Severity.WARN,
            role=role,
        )
    return None


CHECK = ClusterCheck(
    id="D02",
    title="full or starting",
    question="Is a server that gives no answer full, or starting, rather than down?",
    find=find,
)
