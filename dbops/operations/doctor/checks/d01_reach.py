"""How long does it take to be answered, and where does the time go?

A port that is open proves little: a full server, an unknown database and a pooler
without a server behind it all open one. Here the answer counts.
"""

from collections.abc import Mapping

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import ClusterCheck, Found, Limits, severity
from dbops.operations.doctor.servers import Cluster, Server
from dbops.results import Status
from dbops.units import duration_text

QUESTION = "SELECT 1"

# What makes each phase slow, and who knows more.
_WHERE_TO_LOOK: Mapping[str, str] = {
    "resolve": "look at the name servers, or connect to an address",
    "connect": "look at the network between, and at a pooler's or proxy's queue",
    "tls": "look at the load of the server, and at the network between",
    "auth": "look at the load of the server, and at LDAP, RADIUS or PAM behind it",
    "query": "look at the load of the server",
}


async def find(cluster: Cluster, limits: Limits) -> Found:
    """Grade the time from the name to the first answer, server by server."""
    findings = [
        Finding(
            object=role,
            message=f"the {role} gives no answer: {failure.message}",
            remedy=failure.hint,
            severity=Severity.FAIL,
            role=role,
        )
        for role, failure in cluster.failures.items()
    ]
    told = [f"the {role} gives no answer" for role in cluster.failures]
    for server in cluster.servers:
        spent_ms = await _spent_ms(server)
        total_ms = sum(spent_ms.values())
        phases = ", ".join(f"{name} {ms:.3g} ms" for name, ms in spent_ms.items())
        told.append(f"the {server.role} answers in {total_ms:.3g} ms ({phases})")
        status = limits["value"].graded(total_ms / 1000)
        if status is not Status.OK:
            slowest = max(spent_ms, key=lambda name: spent_ms[name])
            took = duration_text(round(total_ms / 1000, 3))
            message = f"it takes {took} to be answered by the {server.role}: {phases}"
            findings.append(
                Finding(
                    object=server.role,
                    message=message,
                    remedy=_WHERE_TO_LOOK[slowest],
                    severity=severity(status),
                    role=server.role,
                )
            )
    return Found("; ".join(told), tuple(findings))


async def _spent_ms(server: Server) -> dict[str, float]:
    # The other checks keep this process busy: the faster of two was not kept waiting.
    asked = [await server.questions.at_once(QUESTION) for _ in range(2)]
    query_ms = min(it.took_s for it in asked) * 1000
    return {**server.questions.dialled.latency_ms, "query": query_ms}


CHECK = ClusterCheck(
    id="D01",
    title="reach",
    question="How long does it take to be answered?",
    find=find,
    limits={"value": Limit(0.25, 1.0, "s")},
)
