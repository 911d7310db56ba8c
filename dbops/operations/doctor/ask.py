"""What does a check see in one database, whatever happens on the way?"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from dbops.errors import DbopsError
from dbops.operations.doctor.answer import Role
from dbops.operations.doctor.check import (
    Check,
    ClusterCheck,
    Found,
    Limits,
    NotApplicableError,
    ServerCheck,
)
from dbops.operations.doctor.choices import Choices
from dbops.operations.doctor.merge import merged
from dbops.operations.doctor.servers import Cluster, Server
from dbops.operations.doctor.tried import tried, undecided


@dataclass(frozen=True)
class Asked:
    """What a check has seen in one database."""

    found: Found | None
    """None where there was nothing to ask."""
    why_not: str = ""
    """Why there was not."""
    duration_ms: float = 0.0
    """From its first question to its answer."""


async def ask(
    check: ServerCheck | ClusterCheck,
    cluster: Cluster,
    choices: Choices,
    *,
    deadline: float | None = None,
) -> Asked:
    """Run one check; nothing that happens in it reaches the others.

    Args:
        check: What to ask.
        cluster: Whom to ask.
        choices: What the user said about it.
        deadline: When, by the clock of the loop, it has to have an answer.
    """
    started = perf_counter()
    found, why_not = None, ""
    try:
        found = await _found(check, cluster, choices, deadline)
    except NotApplicableError as error:
        why_not = str(error)
    return Asked(found, why_not, round((perf_counter() - started) * 1000, 3))


async def _found(
    check: ServerCheck | ClusterCheck,
    cluster: Cluster,
    choices: Choices,
    deadline: float | None,
) -> Found:
    if not choices.runs(check):
        raise NotApplicableError(_why_not(check, choices))
    limits = choices.limits_of(check)
    if isinstance(check, ServerCheck):
        return await _of_servers(check, cluster, limits, deadline)
    for server in cluster.servers:
        unfit = _unfit(check, server)
        if unfit is not None:
            return unfit
    asking = check.find(cluster, limits)
    found = await tried(check, asking, cluster.servers, deadline)
    return _placed(found, cluster.servers, check)


def _why_not(check: Check, choices: Choices) -> str:
    if check.is_opt_in and check.id not in choices.skip and not choices.only:
        return f"it runs only when --only {check.id} asks for it"
    return "it was left out"


async def _of_servers(
    check: ServerCheck, cluster: Cluster, limits: Limits, deadline: float | None
) -> Found:
    """Ask each server that is meant, and hear all of them."""
    roles: Sequence[Role] = ("writer", "reader") if check.on == "each" else (check.on,)
    asked = [it for it in cluster.servers if it.role in roles]
    silent = [role for role in roles if role in cluster.failures]
    if not asked and not silent:
        raise NotApplicableError(f"no {check.on} is configured")
    heard = await asyncio.gather(
        *(_of_server(check, server, limits, deadline) for server in asked)
    )
    answers = [
        (server.role, it)
        for server, it in zip(asked, heard, strict=True)
        if isinstance(it, Found)
    ]
    answers += [(role, _no_answer(role, cluster.failures[role])) for role in silent]
    if not answers:
        raise next(it for it in heard if isinstance(it, NotApplicableError))
    return merged(answers)


async def _of_server(
    check: ServerCheck, server: Server, limits: Limits, deadline: float | None
) -> Found | NotApplicableError:
    """Ask one of them; what does not apply to it may apply to the other."""
    try:
        unfit = _unfit(check, server)
        if unfit is not None:
            return _placed(unfit, [server], check, role=server.role)
        found = await tried(check, check.find(server, limits), [server], deadline)
    except NotApplicableError as error:
        return error
    return _placed(found, [server], check, role=server.role)


def _unfit(check: Check, server: Server) -> Found | None:
    """Say why a server cannot be asked this; None where it can."""
    if server.is_aurora and not check.on_aurora:
        raise NotApplicableError("Aurora has nothing of the kind")
    if server.major < check.since:
        raise NotApplicableError(f"PostgreSQL has it from {check.since} on")
    if check.role is not None and not server.may(check.role):
        why = f"{server.user} may not see what others do"
        grant = server.grant(check.role)
        return undecided(server.role, why, grant, role=server.role)
    return None


def _no_answer(role: Role, failure: DbopsError) -> Found:
    why = f"the {role} gives no answer: {failure.message}"
    return undecided(role, why, failure.hint, role=role)


def _placed(
    found: Found, servers: Sequence[Server], check: Check, *, role: Role | None = None
) -> Found:
    """Say which server, and which database, each finding is about."""
    database = servers[0].database if check.scope == "database" and servers else None
    where = {"role": role, "database": database}
    named = [
        it.model_copy(
            update={name: getattr(it, name) or said for name, said in where.items()}
        )
        for it in found.findings
    ]
    return found._replace(findings=tuple(named))
