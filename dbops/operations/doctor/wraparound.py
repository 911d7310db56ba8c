"""How far is each database from the wraparound of a counter?"""

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import Found, severity
from dbops.operations.doctor.servers import Server
from dbops.results import Status

# A counter has 2^31 steps to any side; 3 million before that the server accepts no
# writes any more. VACUUM as it is does the least that helps, which FREEZE does not.
# https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND
AGES = """
    SELECT d.datname::text AS database,
           pg_catalog.quote_ident(d.datname) AS name,
           d.datallowconn AS may_connect,
           pg_catalog.{age}(d.{oldest}) AS age
      FROM pg_catalog.pg_database d
     ORDER BY 4 DESC, 1
"""
OLDEST_TABLE = """
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
      FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'm', 't')
     ORDER BY pg_catalog.{age}(c.{oldest}) DESC, 1
     LIMIT 1
"""
_STEPS = 2**31


async def ages(
    server: Server, limit: Limit, *, age: str, database: str, table: str, counts: str
) -> Found:
    """Grade the age of each database's oldest row.

    Args:
        server: Whom to ask.
        limit: In steps of the counter.
        age: The function that tells the age.
        database: The column of pg_database that it takes.
        table: The column of pg_class that it takes.
        counts: What the counter counts, in the plural.

    Raises:
        DbopsError: As `Server.rows`.
    """
    rows = await server.rows(AGES.format(age=age, oldest=database))
    findings: list[Finding] = []
    for row in rows:
        status = limit.graded(row["age"])
        if status is Status.OK:
            continue
        remedy = "VACUUM"
        if row["database"] == server.database:
            oldest = OLDEST_TABLE.format(age=age, oldest=table)
            remedy = f"VACUUM {(await server.row(oldest))['name']}"
        elif not row["may_connect"]:
            remedy = f"ALTER DATABASE {row['name']} ALLOW_CONNECTIONS true"
        findings.append(
            Finding(
                object=row["name"],
                message=f"its oldest row is {row['age']:,} {counts} old, "
                f"{100 * row['age'] / _STEPS:.0f} % of what the counter can hold",
                remedy=remedy,
                severity=severity(status),
                database=row["database"],
            )
        )
    first = rows[0]
    return Found(
        f"the oldest database is {first['name']}: {first['age']:,} {counts}",
        tuple(findings),
    )
