"""Does every commit wait for a standby that is not there?"""

import re

from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import (
    Found,
    Limits,
    NotApplicableError,
    ServerCheck,
    UndecidedError,
)
from dbops.operations.doctor.servers import Server

# `sync` and `quorum` are those that a commit waits for; one that still catches up or
# has not said how far it is counts as neither.
# https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-SYNCHRONOUS-STANDBY-NAMES
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW
ATTACHED = """
    SELECT pg_catalog.current_setting('synchronous_standby_names') AS names,
           pg_catalog.current_setting('synchronous_commit') AS commits,
           (SELECT count(*) FROM pg_catalog.pg_stat_replication
             WHERE sync_state IN ('sync', 'quorum')) AS attached,
           (SELECT count(*) FROM pg_catalog.pg_stat_activity
             WHERE wait_event = 'SyncRep') AS waiting
"""
_ROLE = "pg_read_all_stats"
_COUNTED = re.compile(r"\s*(?:(?:FIRST|ANY)\s+)?([0-9]+)\s*\(", re.IGNORECASE)


async def find(server: Server, limits: Limits) -> Found:  # noqa: ARG001 # it has none
    """Count the synchronous standbys against what a commit waits for."""
    if server.is_standby:
        raise NotApplicableError("the writer is a standby: nothing commits there")
    row = await server.row(ATTACHED)
    names, attached = row["names"], row["attached"]
    if not names.strip():
        return Found("commits wait for no standby (synchronous_standby_names is empty)")
    if not server.may(_ROLE):
        raise UndecidedError(
            f"{server.user} may not see which standbys are attached",
            requires=server.grant(_ROLE),
        )
    counted = _COUNTED.match(names)
    needed = int(counted[1]) if counted else 1
    summary = f"synchronous standbys: {attached} attached, {needed} needed"
    if attached >= needed:
        return Found(summary)
    # It is the default of this role; a transaction may still ask for more.
    waits = row["commits"] not in ("off", "local")
    effect = "every commit hangs" if waits else "a commit that wants one hangs"
    finding = Finding(
        object="synchronous_standby_names",
        message=f"{summary} ({names}): {effect} (waiting now: {row['waiting']}); "
        "once it is empty, what commits is safe on this server alone",
        remedy="ALTER SYSTEM SET synchronous_standby_names = ''; "
        "SELECT pg_reload_conf()",
        severity=Severity.FAIL if waits or row["waiting"] else Severity.WARN,
    )
    return Found(summary, (finding,))


CHECK = ServerCheck(
    id="D16",
    title="synchronous standby",
    question="Does every commit wait for a standby that is not there?",
    on="writer",
    find=find,
    on_aurora=False,
)
