"""Is there a table that a crash empties, and that no reader has?"""

from typing import Any

from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import Found, Limits, ServerCheck
from dbops.operations.doctor.objects import name, ours
from dbops.operations.doctor.servers import Server

# A sequence that a table owns goes with it; from 15 on there are others.
# https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-UNLOGGED
UNLOGGED = f"""
    SELECT {name("c.oid")} AS name, c.relkind::text AS kind
      FROM pg_catalog.pg_class c
     WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'S') AND {ours("c")}
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                        WHERE d.classid = 'pg_catalog.pg_class'::regclass
                          AND d.objid = c.oid AND c.relkind = 'S'
                          AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i'))
     ORDER BY 1
"""  # noqa: S608 # a constant


async def find(server: Server, limits: Limits) -> Found:  # noqa: ARG001 # it has none
    """List what is not written to WAL."""
    rows = await server.rows(UNLOGGED)
    return Found(
        f"unlogged tables: {len(rows)}" if rows else "every table is logged",
        tuple(_finding(row) for row in rows),
    )


def _finding(row: dict[str, Any]) -> Finding:
    is_table = row["kind"] == "r"
    message = (
        "the table is unlogged: a crash or a failover empties it, and readers cannot "
        "read it"
        if is_table
        else "the sequence is unlogged: a crash or a failover begins it anew"
    )
    return Finding(
        object=row["name"],
        message=message,
        remedy=f"ALTER {'TABLE' if is_table else 'SEQUENCE'} {row['name']} SET LOGGED",
        severity=Severity.INFO,
    )


CHECK = ServerCheck(
    id="D35",
    title="unlogged tables",
    question="Is there a table that a crash empties, and that no reader has?",
    scope="database",
    on="writer",
    find=find,
)
