"""Has the server read a page whose checksum is wrong?"""

from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import Found, Limits, ServerCheck
from dbops.operations.doctor.servers import Server

# The failures are null where the cluster has no checksums; a row without a database
# stands for what all of them share.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW
FAILURES = """
    SELECT pg_catalog.current_setting('data_checksums') AS data_checksums,
           CASE WHEN d.datid = 0 THEN 'shared objects'
                ELSE pg_catalog.quote_ident(d.datname) END AS object,
           d.datname::text AS database,
           d.checksum_failures AS failures,
           pg_catalog.to_char(d.checksum_last_failure AT TIME ZONE 'UTC',
                              'YYYY-MM-DD HH24:MI "UTC"') AS last_failure
      FROM pg_catalog.pg_stat_database d
     ORDER BY d.checksum_failures DESC NULLS LAST, d.datname
"""
_OFF = (
    "data_checksums is off: a page that the disk has changed is read as if it were "
    "good; pg_checksums --enable turns them on while the server is stopped"
)


async def find(server: Server, limits: Limits) -> Found:
    """Name each database that has lost a page."""
    del limits
    rows = await server.rows(FAILURES)
    if rows and rows[0]["data_checksums"] == "off":
        return Found("there are no checksums that could fail", notes=(_OFF,))
    findings = tuple(
        Finding(
            object=row["object"],
            message=f"{row['failures']} checksum failures were met, the last one at "
            f"{row['last_failure']}: pages on disk are damaged",
            remedy=None
            if row["database"] is None
            else f"pg_amcheck --heapallindexed -d {row['object']}"
            " (then restore what it names from a backup)",
            severity=Severity.FAIL,
            database=row["database"],
        )
        for row in rows
        if row["failures"]
    )
    met = "checksums have failed" if findings else "no checksum has failed"
    return Found(met, findings)


CHECK = ServerCheck(
    id="D37",
    title="checksum failures",
    question="Has the server read a page whose checksum is wrong?",
    on="each",
    find=find,
)
