"""Does every subscription receive?"""

import asyncio
from typing import Any

from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import (
    Found,
    Limits,
    NotApplicableError,
    ServerCheck,
)
from dbops.operations.doctor.servers import Server

# The worker without a relation is the one that applies; it has heard nothing while it
# connects. From 15 on an error may disable a subscription. The connection string is a
# secret and is not asked for.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-SUBSCRIPTION
# https://www.postgresql.org/docs/current/catalog-pg-subscription.html
SUBSCRIPTIONS = """
    SELECT pg_catalog.quote_ident(s.subname) AS name,
           'SELECT * FROM pg_catalog.pg_stat_subscription WHERE subname = '
             || pg_catalog.quote_literal(s.subname) AS look,
           d.datname::text AS database,
           s.subenabled AS is_enabled,
           {disabled_by_error} AS is_disabled_by_error,
           EXISTS (SELECT FROM pg_catalog.pg_stat_subscription w
                    WHERE w.subid = s.oid AND w.relid IS NULL AND w.pid IS NOT NULL)
             AS has_worker,
           EXISTS (SELECT FROM pg_catalog.pg_stat_subscription w
                    WHERE w.subid = s.oid AND w.relid IS NULL
                      AND w.last_msg_receipt_time IS NOT NULL) AS has_heard
      FROM pg_catalog.pg_subscription s
      JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
     ORDER BY s.subname
"""
ERRORS = """
    NOT s.subenabled AND s.subdisableonerr AND EXISTS (
      SELECT FROM pg_catalog.pg_stat_subscription_stats e
       WHERE e.subid = s.oid AND e.apply_error_count + e.sync_error_count > 0)
"""
_HAVE_ERRORS = 15


async def find(server: Server, limits: Limits) -> Found:  # noqa: ARG001 # it has none
    """Look for the worker of each subscription that is enabled."""
    if server.is_standby:
        raise NotApplicableError("the writer is a standby, which receives for nobody")
    known = ERRORS if server.major >= _HAVE_ERRORS else "false"
    query = SUBSCRIPTIONS.format(disabled_by_error=known)
    rows = await server.rows(query)
    if any(_is_silent(row) for row in rows):
        # It may just have been created, or begins anew after an error.
        await asyncio.sleep(server.interval_s)
        rows = await server.rows(query)
    if not rows:
        return Found("there is no subscription")
    disabled = sum(not row["is_enabled"] for row in rows)
    silent = sum(_is_silent(row) for row in rows)
    return Found(
        f"subscriptions: {len(rows)}, receiving: {len(rows) - disabled - silent}, "
        f"disabled: {disabled}",
        tuple(it for row in rows if (it := _finding(row)) is not None),
    )


def _is_silent(row: dict[str, Any]) -> bool:
    return row["is_enabled"] and not (row["has_worker"] and row["has_heard"])


def _finding(row: dict[str, Any]) -> Finding | None:
    remedy = row["look"]
    if row["is_disabled_by_error"]:
        remedy = f"ALTER SUBSCRIPTION {row['name']} ENABLE"
        message = "it is disabled, and an error may have done that (disable_on_error)"
    elif not _is_silent(row):
        return None
    elif row["has_worker"]:
        message = "its worker has heard nothing from the publisher"
    else:
        message = "it is enabled and has no worker"
    return Finding(
        object=row["name"],
        message=f"{message}; the server's log says why",
        remedy=remedy,
        severity=Severity.FAIL if row["is_enabled"] else Severity.WARN,
        database=row["database"],
    )


CHECK = ServerCheck(
    id="D19",
    title="subscriptions",
    question="Does every subscription receive?",
    on="writer",
    find=find,
)
