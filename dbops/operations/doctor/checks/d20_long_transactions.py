"""Does a transaction last for too long?

An open transaction keeps vacuum from removing what died since it began; on a reader it
holds the replay back, or is cancelled by it.
"""

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import Found, Limits, ServerCheck, severity
from dbops.operations.doctor.servers import Server
from dbops.results import Status
from dbops.units import duration_text

# Vacuum, a base backup, replication and its first copy take as long as they take. A
# transaction that is idle after an ANALYZE is nobody's maintenance any more; a worker
# of an extension, such as pg_cron, is a client like any other.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
OPEN = """
    SELECT a.pid,
           extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8
             AS age_s,
           coalesce(a.state, 'at work') AS state,
           coalesce(nullif(a.application_name, ''), '(no name)') AS application,
           coalesce(a.datname::text, '(no database)') AS database
      FROM pg_catalog.pg_stat_activity a
     WHERE a.xact_start IS NOT NULL
       AND a.pid <> pg_catalog.pg_backend_pid()
       AND a.backend_type NOT IN ('autovacuum worker', 'autovacuum launcher',
             'parallel worker', 'slotsync worker', 'startup', 'walsender')
       AND a.backend_type NOT LIKE 'logical replication %'
       AND NOT (a.state = 'active' AND a.query ~* {maintenance})
     ORDER BY a.xact_start
"""
# Comments may stand before the word.
_MAINTENANCE = r"'^(\s|--[^\n]*\n|/\*([^*]|\*[^/])*\*/)*(vacuum|analyze)\M'"


async def find(server: Server, limits: Limits) -> Found:
    """Grade the age of each open transaction."""
    rows = await server.rows(OPEN.format(maintenance=_MAINTENANCE))
    if not rows:
        return Found("no other transaction is open")
    graded = [(row, limits["value"].graded(row["age_s"])) for row in rows]
    findings = tuple(
        Finding(
            object=f"pid {row['pid']}",
            message=f"a transaction of {row['application']} in {row['database']} has "
            f"been open for {duration_text(round(row['age_s']))}; it is {row['state']}",
            remedy=f"SELECT pg_terminate_backend({row['pid']})",
            severity=severity(status),
        )
        for row, status in graded
        if status is not Status.OK
    )
    oldest = duration_text(round(rows[0]["age_s"], 1))
    return Found(f"the longest transaction has been open for {oldest}", findings)


CHECK = ServerCheck(
    id="D20",
    title="long transactions",
    question="Does a transaction last for too long?",
    on="each",
    find=find,
    limits={"value": Limit(300, 1800, "s")},
    role="pg_read_all_stats",
)
