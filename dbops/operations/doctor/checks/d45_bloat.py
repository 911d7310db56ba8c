"""Is a large table or index half empty?"""

from dbops.limits import Limit, amount_text
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.bloat import Room, rooms
from dbops.operations.doctor.check import Found, Limits, ServerCheck
from dbops.operations.doctor.objects import some
from dbops.operations.doctor.servers import Server
from dbops.results import Status


async def find(server: Server, limits: Limits) -> Found:
    """Estimate what is empty in everything that is large enough to matter."""
    least = max(limits["size"].warn or 0, 1)
    large = await rooms(server, at_least_bytes=least)
    findings = [
        _finding(it)
        for it in large
        if limits["value"].graded(it.empty_share) is Status.WARN
    ]
    hidden = [it.name for it in large if not it.is_visible]
    grant = server.grant("pg_read_all_data")
    if hidden:
        findings.append(_hidden(hidden, server, grant))
    untold = [it.name for it in large if it.is_visible and it.empty_share is None]
    return Found(
        f"{len(large)} tables and indexes take {amount_text(least, 'B')} or more",
        tuple(findings),
        (f"never analyzed, so that nothing tells: {some(untold)}",) if untold else (),
        grant if hidden else None,
    )


def _finding(room: Room) -> Finding:
    is_index = room.kind == "i"
    cost = "" if is_index else "; VACUUM FULL locks the table while it rewrites it"
    how = "REINDEX INDEX CONCURRENTLY" if is_index else "VACUUM (FULL, ANALYZE)"
    return Finding(
        object=room.name,
        message=f"an estimated {room.empty_share:.0f}% of its "
        f"{amount_text(room.size_bytes, 'B')} are empty{cost}",
        remedy=f"{how} {room.name}",
        severity=Severity.INFO,
    )


def _hidden(names: list[str], server: Server, grant: str) -> Finding:
    return Finding(
        object="pg_stats",
        message=f"the statistics of {some(names)} are hidden from {server.user}",
        remedy=grant,
        severity=Severity.UNKNOWN,
    )


CHECK = ServerCheck(
    id="D45",
    title="bloat",
    question="Is a large table or index half empty?",
    scope="database",
    on="writer",
    find=find,
    limits={"value": Limit(50, None, "%"), "size": Limit(1 << 30, None, "B")},
    is_opt_in=True,
)
