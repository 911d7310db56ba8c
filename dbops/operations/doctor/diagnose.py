"""From a check to its diagnosis, whatever happens on the way."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from traceback import extract_tb

from dbops.errors import DbopsError
from dbops.operations.doctor.answer import Diagnosis, Finding, Severity
from dbops.operations.doctor.check import (
    Check,
    ClusterCheck,
    Found,
    Limits,
    NotApplicableError,
    ServerCheck,
    UndecidedError,
)
from dbops.operations.doctor.choices import Choices
from dbops.operations.doctor.servers import Cluster, Server
from dbops.results import Status, worst

_NO_PRIVILEGE = "42501"
_WORST_FIRST = (Severity.FAIL, Severity.UNKNOWN, Severity.WARN, Severity.INFO)
_STATUS = {
    Severity.INFO: Status.OK,
    Severity.WARN: Status.WARN,
    Severity.FAIL: Status.FAIL,
    Severity.UNKNOWN: Status.UNKNOWN,
}


async def diagnose(
    check: ServerCheck | ClusterCheck, cluster: Cluster, choices: Choices
) -> Diagnosis:
    """Run one check; nothing that happens in it reaches the others."""
    started = perf_counter()
    try:
        found, applies = await _found(check, cluster, choices), True
    except NotApplicableError as error:
        found, applies = Found(f"does not apply: {error}"), False
    counting, accepted = choices.sorted_out(check, found.findings)
    return Diagnosis(
        id=check.id,
        title=check.title,
        question=check.question,
        scope=check.scope,
        status=worst(_STATUS[it.severity] for it in counting),
        applies=applies,
        summary=found.summary,
        findings=tuple(
            sorted(counting, key=lambda it: _WORST_FIRST.index(it.severity))
        ),
        accepted=tuple(accepted),
        notes=found.notes,
        requires=found.requires,
        duration_ms=round((perf_counter() - started) * 1000, 3),
    )


async def _found(
    check: ServerCheck | ClusterCheck, cluster: Cluster, choices: Choices
) -> Found:
    if not choices.runs(check):
        raise NotApplicableError(_why_not(check, choices))
    limits = choices.limits_of(check)
    if isinstance(check, ClusterCheck):
        return await _of_cluster(check, cluster, limits)
    return await _of_servers(check, cluster, limits)


def _why_not(check: Check, choices: Choices) -> str:
    if check.is_opt_in and check.id not in choices.skip and not choices.only:
        return f"it runs only when --only {check.id} asks for it"
    return "it was left out"


async def _of_cluster(check: ClusterCheck, cluster: Cluster, limits: Limits) -> Found:
    for server in cluster.servers:
        unfit = _unfit(check, server)
        if unfit is not None:
            return unfit
    return await _tried(check, check.find(cluster, limits), cluster.servers)


async def _of_servers(check: ServerCheck, cluster: Cluster, limits: Limits) -> Found:
    roles = ("writer", "reader") if check.on == "each" else (check.on,)
    asked = [it for it in cluster.servers if it.role in roles]
    silent = [role for role in roles if role in cluster.failures]
    if not asked and not silent:
        raise NotApplicableError(f"no {check.on} is configured")
    found = [await _of_server(check, server, limits) for server in asked]
    found += [_no_answer(role) for role in silent]
    return _merged(found) if len(found) > 1 else found[0]


async def _of_server(check: ServerCheck, server: Server, limits: Limits) -> Found:
    unfit = _unfit(check, server)
    if unfit is not None:
        return _told(unfit, server, check)
    found = await _tried(check, check.find(server, limits), [server])
    return _told(found, server, check)


def _unfit(check: Check, server: Server) -> Found | None:
    """Say why a server cannot be asked this; None where it can."""
    if server.is_aurora and not check.on_aurora:
        raise NotApplicableError("Aurora has nothing of the kind")
    if server.major < check.since:
        raise NotApplicableError(f"PostgreSQL has it from {check.since} on")
    if check.role is not None and not server.may(check.role):
        why = f"{server.user} may not see what others do"
        return _undecided(server.role, why, server.grant(check.role))
    return None


async def _tried(check: Check, asking: object, servers: Iterable[Server]) -> Found:
    assert asyncio.iscoroutine(asking)  # noqa: S101 # what a check's `find` returns
    try:
        found: Found = await asking
    except UndecidedError as error:
        return _undecided(check.title, str(error), error.requires)
    except DbopsError as error:
        grant = None
        if error.sqlstate == _NO_PRIVILEGE and check.role is not None:
            grant = "; ".join(server.grant(check.role) for server in servers)
        return _undecided(check.title, error.message, grant or error.hint)
    except NotApplicableError:
        raise
    except Exception as error:  # noqa: BLE001 # a bug in one must not hide the others
        frame = extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
        return _undecided(check.title, f"this is a bug in dbops: {where}", None)
    return found


def _no_answer(role: str) -> Found:
    return _undecided(role, f"the {role} gives no answer", None)


def _undecided(about: str, why: str, requires: str | None) -> Found:
    finding = Finding(
        object=about, message=why, remedy=requires, severity=Severity.UNKNOWN
    )
    return Found(f"unknown: {why}", (finding,), requires=requires)


def _told(found: Found, server: Server, check: Check) -> Found:
    """Say which server, and which database, each finding is about."""
    where = {
        "role": server.role,
        "database": server.database if check.scope == "database" else None,
    }
    named = [
        it.model_copy(
            update={name: getattr(it, name) or said for name, said in where.items()}
        )
        for it in found.findings
    ]
    return found._replace(findings=tuple(named))


def _merged(found: list[Found]) -> Found:
    roles = ("writer", "reader")
    summaries = dict.fromkeys(it.summary for it in found)
    together = next(iter(summaries)) if len(summaries) == 1 else None
    return Found(
        together
        or "; ".join(
            f"{role}: {it.summary}" for role, it in zip(roles, found, strict=False)
        ),
        tuple(finding for it in found for finding in it.findings),
        tuple(dict.fromkeys(note for it in found for note in it.notes)),
        "; ".join(dict.fromkeys(it.requires for it in found if it.requires)) or None,
    )
