"""May we see what the other checks have to see?

A role without privileges is not refused: it is shown less, which looks like health.
"""

from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.catalogue import catalogue
from dbops.operations.doctor.check import Found, Limits, ServerCheck
from dbops.operations.doctor.servers import Server

# https://www.postgresql.org/docs/current/predefined-roles.html
_LEAST = "pg_read_all_stats"
_GRANTED = "pg_monitor"


async def find(server: Server, limits: Limits) -> Found:  # noqa: ARG001 # it has none
    """Tell which predefined roles are missing, and which checks are blind for it."""
    blind: dict[str, list[str]] = {} if server.may(_LEAST) else {_LEAST: []}
    for check in catalogue():
        if check.role is not None and not server.may(check.role):
            blind.setdefault(check.role, []).append(check.id)
    if not blind:
        return Found(f"{server.user} may see all that is asked for")
    findings = tuple(
        Finding(
            object=f"{server.user}: {role}",
            message=f"{server.user} lacks the privileges of {role}: "
            f"{', '.join(ids) or 'what others do'} cannot be told",
            remedy=server.grant(_GRANTED if role == _LEAST else role),
        )
        for role, ids in blind.items()
    )
    grants = "; ".join(dict.fromkeys(str(it.remedy) for it in findings))
    return Found(f"{server.user} may not see everything", findings, requires=grants)


CHECK = ServerCheck(
    id="D05",
    title="privileges",
    question="May we see what the other checks have to see?",
    on="each",
    find=find,
)
