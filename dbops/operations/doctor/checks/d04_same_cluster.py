"""Do writer and reader belong together: one cluster, one timeline?

A reader of another cluster, or of an old primary, answers every question, and wrongly.
"""

import asyncio
from typing import Any

from dbops.errors import DbopsError
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import (
    ClusterCheck,
    Found,
    Limits,
    NotApplicableError,
    UndecidedError,
)
from dbops.operations.doctor.servers import Cluster, Server

# A primary's timeline stands in the names of its WAL files. The receiver of a standby
# knows at once whom it follows, and tells pg_read_all_stats; the control file knows
# late, and tells everybody.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-CONTROL
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-WAL-RECEIVER-VIEW
WHERE = """
    SELECT pg_catalog.pg_is_in_recovery() AS is_standby,
           (SELECT system_identifier FROM pg_catalog.pg_control_system()) AS cluster,
           CASE WHEN NOT pg_catalog.pg_is_in_recovery()
                THEN ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(
                        pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int
           END AS written,
           (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver) AS received,
           GREATEST((SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),
                    (SELECT min_recovery_end_timeline
                       FROM pg_catalog.pg_control_recovery())) AS known
"""
_NO_PRIVILEGE = "42501"


async def find(cluster: Cluster, limits: Limits) -> Found:  # noqa: ARG001 # it has none
    """Compare the identifiers of the clusters, then the timelines."""
    writer, reader = cluster.writer, cluster.reader
    if writer is None or reader is None:
        silent = next(iter(cluster.failures), None)
        if silent is None:
            raise NotApplicableError("there is only one server to ask")
        raise UndecidedError(f"the {silent} gives no answer")
    ours, theirs = await _where(writer), await _where(reader)
    if ours["cluster"] != theirs["cluster"]:
        return _found(
            "writer and reader belong to different clusters",
            f"the reader belongs to cluster {theirs['cluster']}, and the writer to "
            f"{ours['cluster']}",
            "check DATABASE_URL and DATABASE_READER_URL",
        )
    if _differs(ours, theirs):
        # In the moment of a promotion the reader follows a little later.
        await asyncio.sleep(reader.interval_s)
        ours, theirs = await _where(writer), await _where(reader)
    mine, its = _timeline(ours), _timeline(theirs)
    if _differs(ours, theirs):
        return _found(
            f"writer and reader are on timelines {mine} and {its}",
            f"the reader follows timeline {its}, and the writer writes {mine}: it is "
            "not this writer that the reader follows",
            "find out which server was promoted; rebuild the other one, or its reader",
        )
    if theirs["is_standby"] and its != mine:
        note = f"no WAL receiver of the reader tells its timeline; it knows of {its}"
        return Found("one cluster", notes=(note,))
    return Found(f"one cluster, timeline {mine}")


def _differs(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Tell whether the timelines do: what is only known late may well be behind."""
    mine, its = _timeline(ours), _timeline(theirs)
    is_late = theirs["is_standby"] and theirs["received"] is None
    return its > mine or (its < mine and not is_late)


def _timeline(where: dict[str, Any]) -> int:
    return int(where["written"] or where["received"] or where["known"])


async def _where(server: Server) -> dict[str, Any]:
    try:
        return await server.row(WHERE)
    except DbopsError as error:
        if error.sqlstate != _NO_PRIVILEGE:
            raise
        raise UndecidedError(
            f"{server.user} may not ask the {server.role} which cluster it is",
            requires="; ".join(
                f"GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_{name}() "
                f"TO {server.user}"
                for name in ("system", "checkpoint", "recovery")
            ),
        ) from None


def _found(summary: str, message: str, remedy: str) -> Found:
    finding = Finding(
        object="reader",
        message=message,
        remedy=remedy,
        severity=Severity.FAIL,
        role="reader",
    )
    return Found(summary, (finding,))


CHECK = ClusterCheck(
    id="D04",
    title="same cluster",
    question="Do writer and reader belong to one cluster and one timeline?",
    find=find,
    on_aurora=False,
)
