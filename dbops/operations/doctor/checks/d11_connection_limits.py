"""Is a role or a database running out of the connections that it may have?"""

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import Found, Limits, ServerCheck, severity
from dbops.operations.doctor.servers import Server
from dbops.operations.pool.questions import CLIENTS
from dbops.results import Status

# A limit of 0 shuts somebody out on purpose; a superuser is held to none.
# https://www.postgresql.org/docs/current/sql-createrole.html
LIMITED = f"""
    WITH clients AS MATERIALIZED ({CLIENTS})
    SELECT 'role' AS kind,
           pg_catalog.quote_ident(r.rolname) AS name,
           r.rolconnlimit AS most,
           (SELECT count(*)::int FROM clients c WHERE c.usesysid = r.oid) AS in_use
      FROM pg_catalog.pg_roles r
     WHERE r.rolconnlimit > 0 AND r.rolcanlogin AND NOT r.rolsuper
    UNION ALL
    SELECT 'database',
           pg_catalog.quote_ident(d.datname),
           d.datconnlimit,
           (SELECT count(*)::int FROM clients c WHERE c.datid = d.oid)
      FROM pg_catalog.pg_database d
     WHERE d.datconnlimit > 0 AND d.datallowconn
     ORDER BY 1 DESC, 2
"""  # noqa: S608 # a constant of ours


async def find(server: Server, limits: Limits) -> Found:
    """Grade each limit of a role or a database by what is in use."""
    rows = await server.rows(LIMITED)
    if not rows:
        return Found("no role and no database has a limit of its own")
    findings = []
    for row in rows:
        status = limits["value"].graded(100 * row["in_use"] / row["most"])
        if status is Status.OK:
            continue
        what = f"{row['kind']} {row['name']}"
        finding = Finding(
            object=what,
            message=f"{row['in_use']} of the {row['most']} connections that the {what} "
            "may have are in use",
            # On the writer: a standby follows.
            remedy=f"ALTER {row['kind'].upper()} {row['name']} "
            f"CONNECTION LIMIT {2 * row['most']}",
            severity=severity(status),
        )
        findings.append(finding)
    nearest = max(rows, key=lambda row: row["in_use"] / row["most"])
    return Found(
        f"the nearest limit is that of the {nearest['kind']} {nearest['name']}: "
        f"{nearest['in_use']} of {nearest['most']} connections are in use",
        tuple(findings),
    )


CHECK = ServerCheck(
    id="D11",
    title="connection limits",
    question="Is a role or a database running out of the connections it may have?",
    on="each",
    find=find,
    limits={"value": Limit(80, 95, "%")},
)
