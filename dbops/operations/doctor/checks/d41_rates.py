"""Are there deadlocks, large temporary files or many rollbacks just now?

Counters since the beginning of time say nothing about now: two samples are compared.
"""

import asyncio
from typing import Any

from dbops.limits import Limit, amount_text
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import Found, Limits, ServerCheck
from dbops.operations.doctor.servers import Server
from dbops.results import Status

# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW
COUNTERS = """
    SELECT pg_catalog.quote_ident(d.datname) AS object, d.datname::text AS database,
           d.deadlocks, d.temp_bytes, d.xact_commit, d.xact_rollback,
           extract(epoch FROM pg_catalog.clock_timestamp())::float8 AS at_s
      FROM pg_catalog.pg_stat_database d
     WHERE d.datname IS NOT NULL
"""
# Each of our own questions ends with a rollback, some dozens in that time.
_ENOUGH_TRANSACTIONS = 200


async def find(server: Server, limits: Limits) -> Found:
    """Grade what was added to the counters meanwhile."""
    before = {row["database"]: row for row in await server.rows(COUNTERS)}
    await asyncio.sleep(server.interval_s)
    after = await server.rows(COUNTERS)
    findings = tuple(
        finding
        for row in after
        if row["database"] in before
        for finding in _findings(before[row["database"]], row, limits)
    )
    seen = "there is much of it" if findings else "next to none"
    return Found(
        f"deadlocks, temporary files and rollbacks in {server.interval_s:g} s: {seen}",
        findings,
    )


def _findings(
    before: dict[str, Any], after: dict[str, Any], limits: Limits
) -> list[Finding]:
    passed_s = after["at_s"] - before["at_s"]
    added = {
        name: max(after[name] - before[name], 0)
        for name in ("deadlocks", "temp_bytes", "xact_commit", "xact_rollback")
    }
    temp = added["temp_bytes"] / passed_s if passed_s > 0 else 0.0
    every = added["xact_commit"] + added["xact_rollback"]
    share = 100 * added["xact_rollback"] / every if every else 0.0
    said = {
        "deadlocks": f"{added['deadlocks']} deadlocks in {passed_s:.1f} s; the log "
        "names their statements",
        "temp": f"{amount_text(temp, 'B')} of temporary files a second: sorts and "
        "hashes do not fit into work_mem",
        "rollbacks": f"{share:.0f}% of {every} transactions were rolled back",
    }
    values = {
        "deadlocks": float(added["deadlocks"]),
        "temp": temp,
        "rollbacks": share if every >= _ENOUGH_TRANSACTIONS else 0.0,
    }
    return [
        Finding(
            object=after["object"],
            message=said[name],
            severity=Severity.INFO,
            database=after["database"],
        )
        for name, value in values.items()
        if limits[name].graded(value) is not Status.OK
    ]


CHECK = ServerCheck(
    id="D41",
    title="deadlocks and rollbacks",
    question="Are there deadlocks, large temporary files or many rollbacks just now?",
    on="each",
    find=find,
    limits={
        "deadlocks": Limit(1, None),
        "temp": Limit(16 << 20, None, "B"),
        "rollbacks": Limit(50, None, "%"),
    },
)
