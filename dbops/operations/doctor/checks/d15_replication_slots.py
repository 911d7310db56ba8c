"""Does a replication slot keep WAL for nobody, or has it lost what it kept?

A slot keeps the WAL that its reader has not taken, until the disk is full or until
`max_slot_wal_keep_size` gives it up.
"""

from collections.abc import Iterator
from typing import Any

from dbops.limits import Limit, amount_text
from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import Found, Limits, ServerCheck, severity
from dbops.operations.doctor.servers import Server
from dbops.results import Status, worst
from dbops.units import duration_text

# The columns of newer servers are taken from the row as a whole: since when it is
# inactive (17), whether it is a copy that waits for a failover (17), why it was given
# up (17). A position is asked for where there is a slot, because Aurora has none else.
# https://www.postgresql.org/docs/current/view-pg-replication-slots.html
SLOTS = """
    SELECT s.slot_name::text AS name,
           s.active AS is_active,
           CASE WHEN s.active
                THEN 'SELECT * FROM pg_catalog.pg_stat_replication WHERE pid = '
                  || s.active_pid
                ELSE 'SELECT pg_drop_replication_slot('
                  || pg_catalog.quote_literal(s.slot_name) || ')' END AS remedy,
           s.wal_status,
           pg_catalog.to_jsonb(s) ->> 'invalidation_reason' AS reason,
           extract(epoch FROM pg_catalog.clock_timestamp()
             - (pg_catalog.to_jsonb(s) ->> 'inactive_since')::timestamptz)::float8
             AS inactive_s,
           (CASE WHEN pg_catalog.pg_is_in_recovery()
                 THEN greatest(pg_catalog.pg_last_wal_receive_lsn(),
                               pg_catalog.pg_last_wal_replay_lsn())
                 ELSE pg_catalog.pg_current_wal_lsn() END - s.restart_lsn)::float8
             AS retained_bytes,
           (SELECT setting::float8 * 1048576 FROM pg_catalog.pg_settings
             WHERE name = 'max_slot_wal_keep_size') AS bound_bytes
      FROM pg_catalog.pg_replication_slots s
     WHERE NOT s.temporary
       AND NOT coalesce((pg_catalog.to_jsonb(s) ->> 'synced')::bool, false)
     ORDER BY s.slot_name
"""
BOUND = "max_slot_wal_keep_size"


async def find(server: Server, limits: Limits) -> Found:
    """Judge each slot, and whether anything bounds what they keep."""
    rows = await server.rows(SLOTS)
    if not rows:
        return Found("there is no replication slot")
    findings = [it for row in rows if (it := _finding(row, limits)) is not None]
    if rows[0]["bound_bytes"] < 0:
        findings.append(_unbounded())
    most = max(row["retained_bytes"] or 0.0 for row in rows)
    idle = sum(not row["is_active"] for row in rows)
    return Found(
        f"slots: {len(rows)}, inactive: {idle}, "
        f"the most that one retains: {amount_text(max(most, 0.0), 'B')}",
        tuple(findings),
    )


def _finding(row: dict[str, Any], limits: Limits) -> Finding | None:
    said = list(_judged(row, limits))
    if not said:
        return None
    return Finding(
        object=row["name"],
        message="; ".join(text for _, text in said),
        remedy=row["remedy"],
        severity=severity(worst(status for status, _ in said)),
    )


def _judged(row: dict[str, Any], limits: Limits) -> Iterator[tuple[Status, str]]:
    """Say everything about a slot that is not as it should be."""
    retained, bound = row["retained_bytes"], row["bound_bytes"]
    if row["wal_status"] == "lost":
        why = f" ({row['reason']})" if row["reason"] else ""
        yield Status.FAIL, f"it is lost{why}: whoever reads from it must be built anew"
        return
    if retained is None:
        return
    if not row["is_active"]:
        yield _inactive(row["inactive_s"], limits["inactive"])
    if row["wal_status"] == "unreserved":
        yield Status.WARN, "its WAL goes with the next checkpoint"
    share = 100 * retained / bound if bound > 0 else 0.0
    status = worst([limits["retained"].graded(retained), limits["share"].graded(share)])
    if status is not Status.OK or not row["is_active"]:
        of = f", {share:.0f} % of {BOUND}" if share else ""
        yield status, f"it retains {amount_text(max(retained, 0.0), 'B')} of WAL{of}"


def _inactive(inactive_s: float | None, limit: Limit) -> tuple[Status, str]:
    if inactive_s is None:
        return Status.WARN, (
            "nobody reads from it (PostgreSQL tells since when from 17 on)"
        )
    since = duration_text(round(inactive_s))
    return limit.graded(inactive_s), f"nobody has read from it for {since}"


def _unbounded() -> Finding:
    return Finding(
        object=BOUND,
        message="it is -1: a slot that nobody reads from fills the disk",
        remedy=f"ALTER SYSTEM SET {BOUND} = '50GB'; SELECT pg_reload_conf()",
    )


CHECK = ServerCheck(
    id="D15",
    title="replication slots",
    question="Does a replication slot keep WAL for nobody, or has it lost its WAL?",
    on="each",
    find=find,
    limits={
        "inactive": Limit(600, None, "s"),
        "retained": Limit(10 * 2**30, None, "B"),
        "share": Limit(50, None, "%"),
    },
)
