"""Has a prepared transaction been forgotten?

It survives its session and a restart, and keeps its locks and the horizon of vacuum
until somebody commits it or rolls it back.
"""

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import Found, Limits, ServerCheck, severity
from dbops.operations.doctor.servers import Server
from dbops.results import Status
from dbops.units import duration_text

# https://www.postgresql.org/docs/current/view-pg-prepared-xacts.html
PREPARED = """
    SELECT pg_catalog.quote_literal(p.gid) AS gid,
           p.owner::text AS owner,
           p.database::text AS database,
           extract(epoch FROM pg_catalog.clock_timestamp() - p.prepared)::float8
             AS age_s
      FROM pg_catalog.pg_prepared_xacts p
     ORDER BY p.prepared
"""


async def find(server: Server, limits: Limits) -> Found:
    """Grade the age of each prepared transaction."""
    rows = await server.rows(PREPARED)
    if not rows:
        return Found("there is no prepared transaction")
    graded = [(row, limits["value"].graded(row["age_s"])) for row in rows]
    oldest = duration_text(round(rows[0]["age_s"], 1))
    return Found(
        f"prepared transactions: {len(rows)}, the oldest for {oldest}",
        tuple(
            Finding(
                object=row["gid"],
                message=f"{row['owner']} has prepared it "
                f"{duration_text(round(row['age_s']))} ago; in its database "
                "ROLLBACK PREPARED, or COMMIT PREPARED, ends it",
                remedy=f"ROLLBACK PREPARED {row['gid']}",
                severity=severity(status),
                database=row["database"],
            )
            for row, status in graded
            if status is not Status.OK
        ),
    )


CHECK = ServerCheck(
    id="D23",
    title="prepared transactions",
    question="Has a prepared transaction been forgotten?",
    on="writer",
    find=find,
    limits={"value": Limit(300, 3600, "s")},
)
