"""Who keeps vacuum from removing dead rows, and how many transactions back?"""

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import Found, Limits, ServerCheck, severity
from dbops.operations.doctor.servers import Server
from dbops.results import Status

# The horizon of a vacuum holds back no other, so those at work are left out. A standby
# with hot_standby_feedback hands its own on: through its slot, or else its sender.
# https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND
# https://www.postgresql.org/docs/current/view-pg-replication-slots.html
HOLDERS = """
    WITH holders AS (
      SELECT 'pid ' || a.pid AS object,
             greatest(pg_catalog.age(a.backend_xmin), pg_catalog.age(a.backend_xid))
               AS age,
             coalesce(nullif(a.application_name, ''), a.backend_type) || ' in '
               || coalesce(a.datname::text, 'no database')
               || coalesce(', ' || a.state, '') AS who,
             'SELECT pg_terminate_backend(' || a.pid || ')' AS remedy
        FROM pg_catalog.pg_stat_activity a
       WHERE a.pid <> pg_catalog.pg_backend_pid()
         AND a.backend_type <> 'walsender'
         AND a.pid NOT IN (SELECT pid FROM pg_catalog.pg_stat_progress_vacuum)
      UNION ALL
      SELECT 'slot ' || s.slot_name,
             greatest(pg_catalog.age(s.xmin), pg_catalog.age(s.catalog_xmin)),
             CASE WHEN NOT s.active THEN 'a replication slot that nobody reads from'
                  WHEN s.slot_type = 'physical' THEN 'a long transaction of the '
                    'standby, by hot_standby_feedback'
                  ELSE 'the consumer of the slot, which has not confirmed more' END,
             CASE WHEN NOT s.active THEN 'SELECT pg_drop_replication_slot('
                  || pg_catalog.quote_literal(s.slot_name) || ')' END
        FROM pg_catalog.pg_replication_slots s
      UNION ALL
      SELECT 'standby of pid ' || r.pid,
             pg_catalog.age(r.backend_xmin),
             'a long transaction of ' || coalesce(nullif(r.application_name, ''),
               '(no name)') || ', by hot_standby_feedback',
             NULL
        FROM pg_catalog.pg_stat_replication r
      UNION ALL
      SELECT 'prepared ' || pg_catalog.quote_literal(p.gid),
             pg_catalog.age(p.transaction),
             'a prepared transaction in ' || p.database,
             'ROLLBACK PREPARED ' || pg_catalog.quote_literal(p.gid)
        FROM pg_catalog.pg_prepared_xacts p)
    SELECT * FROM (
      SELECT h.*, max(h.age) OVER () AS oldest FROM holders h WHERE h.age IS NOT NULL) h
     WHERE h.age = h.oldest OR h.age >= $1::float8
     ORDER BY h.age DESC
"""


async def find(server: Server, limits: Limits) -> Found:
    """Name whoever holds the oldest horizons."""
    limit: Limit = limits["value"]
    rows = await server.rows(HOLDERS, limit.warn)
    if not rows:
        return Found("nobody holds back vacuum")
    findings = [
        Finding(
            object=row["object"],
            message=f"held by {row['who']}: no vacuum can remove what has died since "
            f"(transactions: {row['age']:,})",
            remedy=row["remedy"],
            severity=severity(status),
        )
        for row in rows
        if (status := limit.graded(row["age"])) is not Status.OK
    ]
    first = rows[0]
    return Found(
        f"the oldest horizon is {first['age']:,} transactions old: {first['object']}",
        tuple(findings),
    )


CHECK = ServerCheck(
    id="D24",
    title="xmin horizon",
    question="Who keeps vacuum from removing dead rows?",
    on="writer",
    find=find,
    limits={"value": Limit(50_000_000, 200_000_000)},
    role="pg_read_all_stats",
)
