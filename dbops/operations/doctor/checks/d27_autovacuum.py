"""Does autovacuum do its work, everywhere?"""

from collections.abc import Iterator
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
from dbops.results import Status
from dbops.units import duration_text

# Without track_counts autovacuum never learns that there is work.
# https://www.postgresql.org/docs/current/runtime-config-vacuum.html#RUNTIME-CONFIG-AUTOVACUUM
SETTINGS = """
    SELECT name, setting FROM pg_catalog.pg_settings
     WHERE name IN ('autovacuum', 'track_counts') AND setting = 'off'
     ORDER BY name
"""
# The server's own rule: threshold + scale factor * rows, at most the maximum that 18
# has. A table's options go before the server's; its TOAST table takes them over unless
# it has some of its own. Temporary tables are not autovacuum's, partitioned ones are
# empty themselves. A table that autovacuum has just been to is one that changes fast.
# https://www.postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM
# https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-STORAGE-PARAMETERS
TABLES = """
    WITH said AS MATERIALIZED (
      SELECT pg_catalog.current_setting('autovacuum_vacuum_threshold')::float8
               AS threshold,
             pg_catalog.current_setting('autovacuum_vacuum_scale_factor')::float8
               AS scale,
             coalesce(pg_catalog.current_setting(
               'autovacuum_vacuum_max_threshold', true), '-1')::float8 AS most,
             2 * pg_catalog.current_setting('autovacuum_naptime')::interval AS naps),
    tables AS (
      SELECT pg_catalog.format('%I.%I', n.nspname, main.relname) AS name,
             c.oid <> main.oid AS is_toast,
             coalesce(NOT own.is_on, false) AS is_off,
             pg_catalog.pg_stat_get_dead_tuples(c.oid)::float8 AS dead,
             coalesce(o.threshold, said.threshold)
               + coalesce(o.scale, said.scale) * greatest(c.reltuples, 0) AS computed,
             coalesce(o.most, said.most) AS most,
             pg_catalog.clock_timestamp()
               - pg_catalog.pg_stat_get_last_autovacuum_time(c.oid) AS since,
             said.naps
        FROM pg_catalog.pg_class main
        JOIN pg_catalog.pg_namespace n ON n.oid = main.relnamespace
       CROSS JOIN LATERAL (VALUES (main.oid), (main.reltoastrelid)) part (oid)
        JOIN pg_catalog.pg_class c ON c.oid = part.oid
       CROSS JOIN said
       CROSS JOIN LATERAL (
         SELECT max(option_value) FILTER (
                  WHERE option_name = 'autovacuum_vacuum_threshold')::float8
                  AS threshold,
                max(option_value) FILTER (
                  WHERE option_name = 'autovacuum_vacuum_scale_factor')::float8
                  AS scale,
                max(option_value) FILTER (
                  WHERE option_name = 'autovacuum_vacuum_max_threshold')::float8
                  AS most
           FROM pg_catalog.pg_options_to_table(
             coalesce(c.reloptions, main.reloptions))) o
       CROSS JOIN LATERAL (
         SELECT max(option_value) FILTER (
                  WHERE option_name = 'autovacuum_enabled')::bool AS is_on
           FROM pg_catalog.pg_options_to_table(c.reloptions)) own
       WHERE main.relkind IN ('r', 'm') AND main.relpersistence <> 't'
         AND n.nspname NOT IN ('pg_catalog', 'information_schema')),
    judged AS (
      SELECT *, CASE WHEN most >= 0 THEN least(computed, most) ELSE computed END
                  AS trigger
        FROM tables)
    SELECT name, is_toast, is_off, dead, trigger,
           dead / greatest(trigger, 1) AS times,
           coalesce(since < naps, false) AS is_fresh,
           extract(epoch FROM since)::float8 AS since_s
      FROM judged
     WHERE is_off OR dead / greatest(trigger, 1) > $1::float8
     ORDER BY dead DESC, name
"""


async def find(server: Server, limits: Limits) -> Found:
    """Look whether it is on, and for tables that it leaves out or does not get to."""
    if server.is_standby:
        raise UndecidedError("the writer is a standby, where nobody counts dead rows")
    limit = limits["value"]
    off = await server.rows(SETTINGS)
    rows = await server.rows(TABLES, limit.warn)
    findings = [_setting(row["name"]) for row in off]
    findings += [it for row in rows for it in _findings(row, limit)]
    summary = "autovacuum is off" if off else "autovacuum is on"
    behind = sum(_is_behind(row, limit) for row in rows)
    without = sum(row["is_off"] for row in rows)
    return Found(
        f"{summary}; tables that wait for it: {behind}, left out: {without}",
        tuple(findings),
        tuple(
            f"{row['name']} has {row['dead']:.0f} dead rows; autovacuum was there "
            f"{duration_text(round(row['since_s']))} ago"
            for row in rows
            if row["is_fresh"] and not row["is_off"]
        ),
    )


def _findings(row: dict[str, Any], limit: Limit) -> Iterator[Finding]:
    name = row["name"]
    of_toast = "toast." if row["is_toast"] else ""
    if row["is_off"]:
        yield Finding(
            object=name,
            message=f"autovacuum leaves {'its TOAST table' if of_toast else 'it'} out",
            remedy=f"ALTER TABLE {name} RESET ({of_toast}autovacuum_enabled)",
        )
    if _is_behind(row, limit):
        yield Finding(
            object=name,
            message=f"{'its TOAST table' if of_toast else 'it'} has "
            f"{row['dead']:.0f} dead rows, and autovacuum should have come at "
            f"{row['trigger']:.0f}",
            remedy=f"VACUUM {name}",
            severity=severity(limit.graded(row["times"])),
        )


def _is_behind(row: dict[str, Any], limit: Limit) -> bool:
    is_late = limit.graded(row["times"]) is not Status.OK
    return is_late and not row["is_fresh"]


def _setting(name: str) -> Finding:
    return Finding(
        object=name,
        message="it is off: dead rows stay, statistics age, and in the end the server "
        "stops to be saved from wraparound",
        remedy=f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf()",
        severity=Severity.FAIL,
    )


CHECK = ServerCheck(
    id="D27",
    title="autovacuum",
    question="Does autovacuum do its work, everywhere?",
    on="writer",
    find=find,
    scope="database",
    limits={"value": Limit(2, None)},
)
