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

# Vacuum and a base backup take as long as they take, and are no client's transaction.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
OLDEST = """
    SELECT a.pid,
           extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8
             AS age_s,
           a.state,
           coalesce(nullif(a.application_name, ''), '(no name)') AS application,
           a.datname::text AS database
      FROM pg_catalog.pg_stat_activity a
     WHERE a.xact_start IS NOT NULL
       AND a.backend_type = 'client backend'
       AND a.pid <> pg_catalog.pg_backend_pid()
       AND a.query !~* '^\\s*(vacuum|analyze)'
     ORDER BY a.xact_start
     LIMIT 20
"""


async def find(server: Server, limits: Limits) -> Found:
    """Grade the age of each open transaction."""
    rows = await server.rows(OLDEST)
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
