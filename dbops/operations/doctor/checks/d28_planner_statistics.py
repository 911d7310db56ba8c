"""Does the planner know the tables that it plans for?"""

from collections.abc import Sequence
from typing import Any

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import (
    Found,
    Limits,
    ServerCheck,
    UndecidedError,
    severity,
)
from dbops.operations.doctor.servers import Server

# When a table was analyzed is counted by each server for itself and lost in a crash;
# whether there are statistics is what pg_stats says, to whoever may read the table.
# reltuples is -1 before the first VACUUM, ANALYZE or CREATE INDEX. Without counters (an
# upgrade has lost them) the size must tell, beyond the ten pages that the planner takes
# for granted; a table that somebody wants for himself alone would keep us waiting.
# A session tells what it has changed up to a second later, even if it has analyzed the
# table meanwhile: rows that ANALYZE has seen are not counted as changed since.
# Autovacuum's own rule says from when on statistics are due, and it analyzes neither
# temporary nor partitioned tables.
# https://www.postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM
# https://www.postgresql.org/docs/current/view-pg-stats.html
TABLES = """
    WITH said AS MATERIALIZED (
      SELECT pg_catalog.current_setting('autovacuum_analyze_threshold')::float8
               AS threshold,
             pg_catalog.current_setting('autovacuum_analyze_scale_factor')::float8
               AS scale,
             2 * pg_catalog.current_setting('autovacuum_naptime')::interval AS naps),
    tables AS (
      SELECT c.oid, n.nspname, c.relname, c.relkind, c.reltuples, said.naps,
             pg_catalog.pg_stat_get_live_tuples(c.oid) AS live,
             pg_catalog.pg_stat_get_tuples_inserted(c.oid) AS inserted,
             pg_catalog.pg_stat_get_mod_since_analyze(c.oid) AS counted,
             pg_catalog.pg_stat_get_tuples_updated(c.oid)
               + pg_catalog.pg_stat_get_tuples_deleted(c.oid) AS changed,
             pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid) AS visited,
             greatest(pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid),
                      pg_catalog.pg_stat_get_last_analyze_time(c.oid)) AS analyzed,
             coalesce(o.threshold, said.threshold)
               + coalesce(o.scale, said.scale) * greatest(c.reltuples, 0) AS trigger
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       CROSS JOIN said
       CROSS JOIN LATERAL (
         SELECT max(option_value) FILTER (
                  WHERE option_name = 'autovacuum_analyze_threshold')::float8
                  AS threshold,
                max(option_value) FILTER (
                  WHERE option_name = 'autovacuum_analyze_scale_factor')::float8
                  AS scale
           FROM pg_catalog.pg_options_to_table(c.reloptions)) o
       WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't'
         AND n.nspname NOT IN ('pg_catalog', 'information_schema')),
    modified AS (
      SELECT *, greatest(CASE
               WHEN reltuples < 0 OR inserted < reltuples THEN counted
               WHEN changed = 0 THEN least(counted, inserted - reltuples)
               WHEN counted = inserted + changed THEN counted - reltuples
               ELSE counted END, 0)::float8 AS modified
        FROM tables),
    judged AS (
      SELECT t.*,
             t.relkind <> 'p' AND t.analyzed IS NULL AND CASE
               WHEN t.live > 0 OR t.inserted > 0 THEN t.live > t.trigger
               WHEN t.reltuples >= 0 THEN t.reltuples > 50
               WHEN t.oid = ANY (ARRAY(
                 SELECT l.relation FROM pg_catalog.pg_locks l
                  WHERE l.mode = 'AccessExclusiveLock' AND l.relation IS NOT NULL))
                 THEN false
               ELSE pg_catalog.pg_relation_size(t.oid)
                 > 10 * pg_catalog.current_setting('block_size')::int END AS is_new,
             t.relkind <> 'p' AND t.modified / greatest(t.trigger, 1) > $1::float8
               AND NOT coalesce(
                 pg_catalog.clock_timestamp() - t.visited < t.naps, false) AS is_stale,
             t.relkind = 'p' AND t.reltuples < 0 AND EXISTS (
               SELECT FROM pg_catalog.pg_inherits i
                 JOIN pg_catalog.pg_class part ON part.oid = i.inhrelid
                WHERE i.inhparent = t.oid AND (part.reltuples > 0
                  OR pg_catalog.pg_stat_get_live_tuples(part.oid) > 0)) AS is_parent
        FROM modified t)
    SELECT pg_catalog.format('%I.%I', j.nspname, j.relname) AS name,
           j.is_new, j.is_stale, j.is_parent, j.modified, j.trigger,
           j.analyzed IS NOT NULL AS is_analyzed,
           j.modified / greatest(j.trigger, 1) AS times,
           greatest(j.live, j.reltuples, 0)::float8 AS rows,
           pg_catalog.has_any_column_privilege(j.oid, 'SELECT')
             AND NOT pg_catalog.row_security_active(j.oid) AS is_readable,
           j.reltuples < 0 OR j.inserted >= j.reltuples AS is_all_counted,
           EXISTS (SELECT FROM pg_catalog.pg_stats s
                    WHERE s.schemaname = j.nspname AND s.tablename = j.relname)
             AS is_known
      FROM judged j
     WHERE j.is_new OR j.is_stale OR j.is_parent
     ORDER BY rows DESC, name
"""


async def find(server: Server, limits: Limits) -> Found:
    """Look for tables without statistics, and with old ones."""
    if server.is_standby:
        raise UndecidedError("the writer is a standby, where nobody counts changes")
    limit = limits["value"]
    rows = await server.rows(TABLES, limit.warn)
    new = [row for row in rows if row["is_new"] and not row["is_known"]]
    unseen = [
        row for row in new if not row["is_readable"] and not row["is_all_counted"]
    ]
    without = [row for row in new if row not in unseen]
    stale = [
        row
        for row in rows
        if row["is_stale"] and (row["is_analyzed"] or row["is_known"])
    ]
    findings = [*map(_never, without), *(_stale(row, limit) for row in stale)]
    grants = [_grant(row, server) for row in unseen]
    findings += [_unseen(row, it) for row, it in zip(unseen, grants, strict=True)]
    return Found(
        f"tables without statistics: {len(without)}, with old ones: {len(stale)}",
        tuple(findings),
        _notes(rows),
        "; ".join(grants) or None,
    )


def _never(row: dict[str, Any]) -> Finding:
    size = f"{row['rows']:.0f} rows" if row["rows"] else "rows"
    return Finding(
        object=row["name"],
        message=f"it has {size} and has never been analyzed",
        remedy=f"ANALYZE {row['name']}",
    )


def _stale(row: dict[str, Any], limit: Limit) -> Finding:
    return Finding(
        object=row["name"],
        message=f"{row['modified']:.0f} rows have changed since it was analyzed, which "
        f"was due at {row['trigger']:.0f}",
        remedy=f"ANALYZE {row['name']}",
        severity=severity(limit.graded(row["times"])),
    )


def _unseen(row: dict[str, Any], grant: str) -> Finding:
    return Finding(
        object=row["name"],
        message="its statistics may not be seen, and the server's counters begin after "
        "its rows",
        remedy=grant,
        severity=Severity.UNKNOWN,
    )


def _grant(row: dict[str, Any], server: Server) -> str:
    return f"GRANT SELECT ON {row['name']} TO {server.user}"


def _notes(rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(
        f"autovacuum does not analyze partitioned tables: ANALYZE {row['name']}"
        for row in rows
        if row["is_parent"]
    )


CHECK = ServerCheck(
    id="D28",
    title="planner statistics",
    question="Does the planner know the tables that it plans for?",
    on="writer",
    find=find,
    scope="database",
    limits={"value": Limit(2, None)},
)
