"""Who waits for a lock, and who is at the root of it?

Behind somebody who waits for ACCESS EXCLUSIVE (an ALTER TABLE) everybody queues who
wants the table at all, so that such a wait is graded by its own measure.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import Found, Limits, ServerCheck, severity
from dbops.operations.doctor.servers import Server
from dbops.results import Status, worst
from dbops.units import duration_text

# pg_blocking_pids stops the lock manager for a moment, so only those who wait are asked
# about; it returns 0 for a prepared transaction, and includes whoever waits in front.
# It knows nothing of a standby's replay, which alone wants ACCESS EXCLUSIVE there:
# whoever holds a lock on that table is in its way.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SESSION
# https://www.postgresql.org/docs/current/view-pg-locks.html
TREE = """
    WITH waiting AS MATERIALIZED (
      SELECT l.pid,
             l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation' AS is_exclusive,
             l.mode || ' on ' || coalesce(
               pg_catalog.quote_ident(n.nspname) || '.'
                 || pg_catalog.quote_ident(c.relname),
               l.locktype || ' ' || l.relation, l.locktype) AS wanted,
             coalesce(extract(epoch FROM
               pg_catalog.clock_timestamp() - l.waitstart), 0)::float8 AS waits_s,
             pg_catalog.pg_blocking_pids(l.pid) || ARRAY(
               SELECT h.pid FROM pg_catalog.pg_locks h
                WHERE pg_catalog.pg_is_in_recovery()
                  AND l.mode = 'AccessExclusiveLock'
                  AND h.relation = l.relation AND h.database = l.database
                  AND h.granted AND h.pid <> l.pid) AS blockers
        FROM pg_catalog.pg_locks l
        LEFT JOIN pg_catalog.pg_class c
          ON c.oid = l.relation AND l.database IN (0, (
             SELECT oid FROM pg_catalog.pg_database
              WHERE datname = pg_catalog.current_database()))
        LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       WHERE NOT l.granted AND l.pid IS NOT NULL)
    SELECT p.pid, w.is_exclusive, w.wanted, w.waits_s, w.blockers,
           nullif(a.application_name, '') AS application,
           a.datname::text AS database, a.state, a.backend_type
      FROM (SELECT pid FROM waiting
             UNION SELECT pg_catalog.unnest(blockers) FROM waiting) p
      LEFT JOIN waiting w USING (pid)
      LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)
"""
# Its locks belong to no process; that of its own id tells which are the others.
# https://www.postgresql.org/docs/current/view-pg-prepared-xacts.html
PREPARED = """
    SELECT pg_catalog.quote_literal(x.gid) AS gid
      FROM pg_catalog.pg_prepared_xacts x
      JOIN pg_catalog.pg_locks own
        ON own.transactionid = x.transaction AND own.granted AND own.pid IS NULL
     WHERE EXISTS (
       SELECT FROM pg_catalog.pg_locks h
         JOIN pg_catalog.pg_locks w
           ON (h.locktype, h.database, h.relation, h.transactionid)
              IS NOT DISTINCT FROM (w.locktype, w.database, w.relation, w.transactionid)
        WHERE h.virtualtransaction = own.virtualtransaction AND h.pid IS NULL
          AND h.granted AND NOT w.granted AND w.pid = ANY ($1::int[]))
     ORDER BY x.prepared
"""
_SHOWN = 10
Sessions = Mapping[int, dict[str, Any]]


async def find(server: Server, limits: Limits) -> Found:
    """Find the sessions at the root of each queue, and grade who waits behind them."""
    sessions = {row["pid"]: row for row in await server.rows(TREE)}
    waiting = [row for row in sessions.values() if row["blockers"]]
    if not waiting:
        return Found("nobody waits for a lock")
    longest = duration_text(round(max(row["waits_s"] for row in waiting), 1))
    behind: dict[int, list[dict[str, Any]]] = {}
    for row in waiting:
        for root in _roots(row["pid"], sessions):
            behind.setdefault(root, []).append(row)
    if 0 in behind:
        pids = [row["pid"] for row in behind[0]]
        sessions[0]["gids"] = [it["gid"] for it in await server.rows(PREPARED, pids)]
    findings = [_finding(root, rows, sessions, limits) for root, rows in behind.items()]
    return Found(
        f"waiting for a lock: {len(waiting)}, the longest for {longest}",
        tuple(it for it in findings if it is not None),
    )


def _roots(pid: int, sessions: Sessions) -> set[int]:
    """Follow who blocks whom up to those who wait for nobody."""
    seen, next_ones = {pid}, [pid]
    roots: set[int] = set()
    while next_ones:
        blockers = sessions[next_ones.pop()]["blockers"]
        for it in blockers:
            if it not in sessions or not sessions[it]["blockers"]:
                roots.add(it)
            elif it not in seen:
                seen.add(it)
                next_ones.append(it)
    # Those who wait for each other have no root; the server will end one of them.
    return roots or set(sessions[pid]["blockers"])


def _finding(
    root: int, rows: list[dict[str, Any]], sessions: Sessions, limits: Limits
) -> Finding | None:
    status = worst(_grades(rows, limits["value"], limits["exclusive"]))
    if status is Status.OK:
        return None
    rows = sorted(rows, key=lambda row: -row["waits_s"])
    waits = [_wait(row, root) for row in rows[:_SHOWN]]
    if len(rows) > _SHOWN:
        waits.append(f"and {len(rows) - _SHOWN} more")
    return Finding(
        object=f"pid {root}" if root else _who(root, sessions),
        message=f"{_who(root, sessions)} blocks {len(rows)}: {', '.join(waits)}",
        remedy=_remedy(root, sessions),
        severity=severity(status),
    )


def _grades(rows: Iterable[dict[str, Any]], any_: Limit, ddl: Limit) -> list[Status]:
    grades = [any_.graded(row["waits_s"]) for row in rows]
    return grades + [ddl.graded(row["waits_s"]) for row in rows if row["is_exclusive"]]


def _wait(row: dict[str, Any], root: int) -> str:
    after = [f"{pid}" for pid in row["blockers"] if pid != root]
    behind = f" behind {' and '.join(after)}" if after else ""
    waits = duration_text(round(row["waits_s"], 1))
    return f"pid {row['pid']} has waited {waits}{behind} for {row['wanted']}"


def _who(root: int, sessions: Sessions) -> str:
    row = sessions.get(root, {})
    if root == 0:
        gids = " and ".join(row.get("gids", ()))
        return f"prepared {gids}" if gids else "a prepared transaction"
    if row.get("backend_type") not in (None, "client backend"):
        return f"the {row['backend_type']}"
    state = row.get("state") or "in a state that we may not see"
    return f"{row.get('application') or '(no name)'} in {row.get('database')}, {state},"


def _remedy(root: int, sessions: Sessions) -> str | None:
    row = sessions.get(root, {})
    if root == 0:
        ends = [f"ROLLBACK PREPARED {gid}" for gid in row.get("gids", ())]
        return "; ".join(ends) or None
    # The replay belongs to no database and cannot be ended.
    return f"SELECT pg_terminate_backend({root})" if row.get("database") else None


CHECK = ServerCheck(
    id="D22",
    title="lock queues",
    question="Who waits for a lock, and who is at the root of it?",
    on="each",
    find=find,
    limits={"value": Limit(30, 300, "s"), "exclusive": Limit(None, 5, "s")},
)
