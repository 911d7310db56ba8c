"""Does a session hold a transaction open and do nothing?

What it holds decides how bad that is: one with a snapshot or changes of its own keeps
vacuum from removing what died since, in every table. One without keeps a connection,
and the locks of what it has read, which is enough to stop an ALTER TABLE.
"""

from typing import Any

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import Found, Limits, ServerCheck, severity
from dbops.operations.doctor.servers import Server
from dbops.results import Status
from dbops.units import duration_text

# Between statements only a snapshot that stays (REPEATABLE READ, a cursor) shows as
# backend_xmin, and only a transaction that has written has an xid.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
IDLE = """
    SELECT a.pid,
           extract(epoch FROM pg_catalog.clock_timestamp() - a.state_change)::float8
             AS idle_s,
           greatest(pg_catalog.age(a.backend_xmin), pg_catalog.age(a.backend_xid))
             AS horizon_age,
           coalesce(nullif(a.application_name, ''), '(no name)') AS application,
           a.datname::text AS database
      FROM pg_catalog.pg_stat_activity a
     WHERE a.state LIKE 'idle in transaction%'
       AND a.backend_type = 'client backend'
       AND a.pid <> pg_catalog.pg_backend_pid()
     ORDER BY a.state_change
"""


async def find(server: Server, limits: Limits) -> Found:
    """Grade how long each has been idle, and what it holds back."""
    rows = await server.rows(IDLE)
    if not rows:
        return Found("nobody is idle in a transaction")
    graded = [(row, _graded(row, limits["value"])) for row in rows]
    longest = duration_text(round(rows[0]["idle_s"], 1))
    return Found(
        f"idle in a transaction: {len(rows)}, the longest for {longest}",
        tuple(_finding(row, it) for row, it in graded if it is not Status.OK),
    )


def _graded(row: dict[str, Any], limit: Limit) -> Status:
    status = limit.graded(row["idle_s"])
    if status is Status.FAIL and row["horizon_age"] is None:
        return Status.WARN
    return status


def _finding(row: dict[str, Any], status: Status) -> Finding:
    held = "it holds back no vacuum, but keeps its locks and its connection"
    if row["horizon_age"] is not None:
        held = (
            "no vacuum can remove what has died since (transactions: "
            f"{row['horizon_age']:,})"
        )
    idle = duration_text(round(row["idle_s"]))
    return Finding(
        object=f"pid {row['pid']}",
        message=f"{row['application']} in {row['database']} has been idle in its "
        f"transaction for {idle}; {held}",
        remedy=f"SELECT pg_terminate_backend({row['pid']})",
        severity=severity(status),
    )


CHECK = ServerCheck(
    id="D21",
    title="idle in transaction",
    question="Does a session hold a transaction open and do nothing?",
    on="each",
    find=find,
    limits={"value": Limit(60, 600, "s")},
    role="pg_read_all_stats",
)
