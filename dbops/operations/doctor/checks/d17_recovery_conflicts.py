"""Do the reader's queries and its replay stand in each other's way?

The replay waits for a query for as long as max_standby_streaming_delay, then cancels
it: first the reader is late, then its users see errors.
"""

import asyncio
from typing import Any

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import (
    Found,
    Limits,
    NotApplicableError,
    ServerCheck,
    severity,
)
from dbops.operations.doctor.servers import Server
from dbops.results import Status

# Counted since the statistics were reset, so only their growth says anything.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-CONFLICTS-VIEW
# https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-CONFLICT
COUNTED = """
    SELECT pg_catalog.quote_ident(c.datname) AS database,
           (c.confl_tablespace + c.confl_lock + c.confl_snapshot + c.confl_bufferpin
             + c.confl_deadlock)::float8 AS cancelled,
           extract(epoch FROM pg_catalog.clock_timestamp())::float8 AS at_s
      FROM pg_catalog.pg_stat_database_conflicts c
     WHERE c.datname IS NOT NULL
     ORDER BY c.datname
"""
# The startup process replays; what it waits for is told to pg_read_all_stats. For whom
# pg_blocking_pids does not tell of it, so the locks are compared; a snapshot is held by
# whoever has one, the oldest first.
# https://www.postgresql.org/docs/current/view-pg-locks.html
WAITING = """
    SELECT a.wait_event AS event,
           ARRAY(SELECT b.pid FROM pg_catalog.pg_stat_activity b
                  WHERE b.backend_type = 'client backend'
                    AND b.pid <> pg_catalog.pg_backend_pid()
                    AND CASE WHEN a.wait_event_type = 'Lock'
                             THEN b.pid IN (SELECT h.pid
                                    FROM pg_catalog.pg_locks w
                                    JOIN pg_catalog.pg_locks h
                                      ON h.granted AND h.locktype = w.locktype
                                     AND h.database IS NOT DISTINCT FROM w.database
                                     AND h.relation IS NOT DISTINCT FROM w.relation
                                   WHERE w.pid = a.pid AND NOT w.granted)
                             ELSE b.backend_xmin IS NOT NULL END
                  ORDER BY b.xact_start LIMIT 5) AS pids
      FROM pg_catalog.pg_stat_activity a
     WHERE a.backend_type = 'startup'
       AND (a.wait_event LIKE 'RecoveryConflict%'
            OR a.wait_event_type IN ('Lock', 'BufferPin', 'Buffer'))
"""


async def find(server: Server, limits: Limits) -> Found:
    """Count the cancelled queries twice, and look for a replay that waits."""
    if not server.is_standby:
        raise NotApplicableError("the reader is no standby")
    before, waited = await server.rows(COUNTED), await server.rows(WAITING)
    await asyncio.sleep(server.interval_s)
    after = await server.rows(COUNTED)
    earlier = {row["database"]: row for row in before}
    findings = [
        it
        for row in after
        if (it := _of_rate(row, earlier.get(row["database"]), limits["value"]))
    ]
    if waited:
        findings += [_of_wait(row) for row in await server.rows(WAITING)]
    total = sum(row["cancelled"] for row in after)
    notes = []
    if not server.may("pg_read_all_stats"):
        grant = server.grant("pg_read_all_stats")
        notes.append(f"whether the replay waits for a query now is hidden: {grant}")
    return Found(
        f"queries cancelled by the replay since the statistics began: {total:g}",
        tuple(findings),
        tuple(notes),
    )


def _of_rate(
    row: dict[str, Any], before: dict[str, Any] | None, limit: Limit
) -> Finding | None:
    if before is None or row["cancelled"] <= before["cancelled"]:
        return None
    number = row["cancelled"] - before["cancelled"]
    rate = number * 60 / max(row["at_s"] - before["at_s"], 0.001)
    status = limit.graded(rate)
    if status is Status.OK:
        return None
    return Finding(
        object=row["database"],
        message=f"the replay has cancelled {number:g} queries in "
        f"{row['at_s'] - before['at_s']:.1f} s",
        remedy="ALTER SYSTEM SET hot_standby_feedback = on; SELECT pg_reload_conf()",
        severity=severity(status),
    )


def _of_wait(row: dict[str, Any]) -> Finding:
    pids = row["pids"]
    who = f"pid {', '.join(str(pid) for pid in pids)}" if pids else "a query"
    return Finding(
        object="replay",
        message=f"the replay waits for {who}, and the reader falls behind",
        remedy="; ".join(f"SELECT pg_cancel_backend({pid})" for pid in pids) or None,
    )


CHECK = ServerCheck(
    id="D17",
    title="recovery conflicts",
    question="Do queries on the reader and its replay stand in each other's way?",
    on="reader",
    find=find,
    # In a minute, in one database.
    limits={"value": Limit(1, None)},
    on_aurora=False,
)
