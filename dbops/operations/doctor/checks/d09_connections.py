"""Is a server running out of connections?

What is reserved is not usable, also where we ourselves may use it: a role for
monitoring is given the reserve so that it still gets in when nobody else does.
"""

from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import Found, Limits, ServerCheck, severity
from dbops.operations.doctor.servers import Server
from dbops.operations.pool.server import (
    SATURATION,
    ServerConnections,
    server_connections,
)
from dbops.results import Status

# https://www.postgresql.org/docs/current/runtime-config-connection.html
WHO = (
    "SELECT pid, usename, datname, application_name, state, state_change "
    "FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' "
    "ORDER BY state_change"
)
_MOST_NAMED = 3


async def find(server: Server, limits: Limits) -> Found:
    """Grade the share of the usable connections that is in use."""
    seen = await server_connections(server.questions)
    usable = seen.max_connections - seen.superuser_reserved - seen.reserved_connections
    share = 100 * seen.in_use / usable if usable > 0 else 100.0
    said = f"{seen.in_use} of {usable} usable connections are in use"
    status = limits["value"].graded(share)
    notes = [] if seen.requires is None else [_hidden(seen.requires)]
    if status is Status.OK:
        return Found(said, notes=tuple(notes))
    finding = Finding(
        object=f"{seen.host}:{seen.port}",
        message=f"{said} ({share:.0f}%): {_holders(seen)}",
        remedy=WHO,
        severity=severity(status),
    )
    return Found(said, (finding,), tuple(notes))


def _holders(seen: ServerConnections) -> str:
    """Name who holds the most."""
    most = seen.by_application[:_MOST_NAMED]
    named = [f"{it.connections} {it.state} of {it.application}" for it in most]
    rest = seen.in_use - sum(it.connections for it in most)
    return ", ".join([*named, *([f"{rest} of others"] if rest else [])])


def _hidden(grant: str) -> str:
    return f"the states of other roles' connections are unknown, run: {grant}"


CHECK = ServerCheck(
    id="D09",
    title="connections in use",
    question="Is a server running out of connections?",
    on="each",
    find=find,
    limits={"value": SATURATION},
)
