"""Is an index invalid, and nobody builds it?

A CREATE or REINDEX INDEX CONCURRENTLY that fails leaves an index that serves no query;
IF NOT EXISTS then finds it and is content.
"""

import asyncio
from typing import Any

from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import Found, Limits, ServerCheck
from dbops.operations.doctor.objects import drop_index, name, ours, some
from dbops.operations.doctor.servers import Server

# One that is being built now is invalid too. It is known by its builder's progress; by
# a lock on the index, as REINDEX and DROP … CONCURRENTLY hold on every index that they
# work on; and, where the builder is another role and its progress hidden, by its lock
# on the table: it can only be the newest one there.
# https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
# https://www.postgresql.org/docs/current/progress-reporting.html#CREATE-INDEX-PROGRESS-REPORTING
# pg_index, pg_locks, pg_stat_progress_create_index: PostgreSQL 12 and newer.
INVALID = f"""
    WITH locks AS MATERIALIZED (
        SELECT l.pid, l.relation
          FROM pg_catalog.pg_locks l
          JOIN pg_catalog.pg_database d ON d.oid = l.database
         WHERE d.datname = pg_catalog.current_database()
           AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
    ), invalid AS (
        SELECT i.*, row_number() OVER (PARTITION BY i.indrelid
                                       ORDER BY i.indexrelid DESC) AS newest
          FROM pg_catalog.pg_index i WHERE NOT i.indisvalid
    )
    SELECT {name("i.indexrelid")} AS name, {name("o.oid")} AS "table",
           o.oid <> t.oid AS is_toast, c.relkind::text AS kind,
           i.indisready AND c.relpages > 0 AS is_written, i.indisunique AS is_unique,
           i.indisexclusion AS is_exclusion,
           NOT i.indislive OR c.relname ~ '_cc(new|old)[0-9]*$' AS is_remnant,
           EXISTS (SELECT FROM locks l WHERE l.relation = i.indexrelid)
           OR EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p
                       WHERE p.index_relid = i.indexrelid)
           OR EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p
                        JOIN locks l USING (pid)
                       WHERE p.index_relid IS NULL AND l.relation = i.indrelid
                         AND i.newest = 1) AS is_in_work
      FROM invalid i
      JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
      JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
      JOIN pg_catalog.pg_class o
        ON o.oid = CASE WHEN t.relkind <> 't' THEN t.oid
                        ELSE (SELECT w.oid FROM pg_catalog.pg_class w
                               WHERE w.reltoastrelid = t.oid) END
     WHERE {ours("o")}
     ORDER BY 1
"""  # noqa: S608 # a constant


async def find(server: Server, limits: Limits) -> Found:  # noqa: ARG001 # it has none
    """List the indexes that were left invalid, and note those in the making."""
    rows = await server.rows(INVALID)
    if any(_is_left(row) for row in rows) and not server.is_standby:
        # A build that ends is out of sight a moment before its index is valid.
        await asyncio.sleep(server.interval_s)
        before = {row["name"] for row in rows if _is_left(row)}
        rows = [
            row
            for row in await server.rows(INVALID)
            if row["name"] in before or not _is_left(row)
        ]
    left = [row for row in rows if _is_left(row)]
    return Found(
        f"invalid indexes: {len(left)}" if left else "no index was left invalid",
        tuple(_finding(row, server) for row in left),
        tuple(_notes(rows)),
    )


def _is_left(row: dict[str, Any]) -> bool:
    return row["kind"] == "i" and not row["is_in_work"]


def _notes(rows: list[dict[str, Any]]) -> list[str]:
    in_work = [row["name"] for row in rows if row["is_in_work"]]
    # The index of a partitioned table is invalid until each partition has its own.
    # https://www.postgresql.org/docs/current/ddl-partitioning.html
    parents = [row["name"] for row in rows if row["kind"] == "I"]
    notes = [f"being built or dropped now: {some(in_work)}"] if in_work else []
    if parents:
        notes.append(f"lacking in some partition: {some(parents)}")
    return notes


def _finding(row: dict[str, Any], server: Server) -> Finding:
    table = f"{'the TOAST table of ' if row['is_toast'] else ''}{row['table']}"
    about = f"the index on {table} is invalid"
    if server.is_standby:
        why, severity = "only the writer knows whether it is being built", None
    elif row["is_written"]:
        why, severity = "every write pays for it and no query uses it", Severity.WARN
    elif row["is_unique"]:
        why, severity = "it keeps no duplicate out", Severity.WARN
    else:
        why, severity = "it was never filled, and no query uses it", Severity.INFO
    return Finding(
        object=row["name"],
        message=f"{about}: {why}",
        remedy=_remedy(row),
        severity=severity or Severity.UNKNOWN,
    )


def _remedy(row: dict[str, Any]) -> str:
    index: str = row["name"]
    if row["is_remnant"]:
        return drop_index(index, row["kind"])
    # An exclusion constraint's cannot be rebuilt concurrently.
    # https://www.postgresql.org/docs/current/sql-reindex.html
    how = "" if row["is_exclusion"] else "CONCURRENTLY "
    return f"REINDEX INDEX {how}{index}"


CHECK = ServerCheck(
    id="D29",
    title="invalid indexes",
    question="Is an index invalid, and nobody builds it?",
    scope="database",
    on="writer",
    find=find,
)
