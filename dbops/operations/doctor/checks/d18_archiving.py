"""Does WAL reach the archive?"""

import asyncio
from typing import Any

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import Found, Limits, ServerCheck, severity
from dbops.operations.doctor.servers import Server
from dbops.results import Status, worst
from dbops.units import duration_text

# A command may hold a password: whether there is one is all that is asked.
# https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-ARCHIVING-WAL
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ARCHIVER-VIEW
ARCHIVER = """
    SELECT pg_catalog.current_setting('archive_mode') AS mode,
           pg_catalog.pg_is_in_recovery() AS is_standby,
           pg_catalog.current_setting('archive_command') <> '' OR coalesce(
             pg_catalog.current_setting('archive_library', true), '') <> ''
             AS has_command,
           archived_count,
           last_failed_wal,
           extract(epoch FROM pg_catalog.clock_timestamp() - last_failed_time)::float8
             AS failed_s,
           coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)
             AS is_failing,
           pg_catalog.has_function_privilege(
             'pg_catalog.pg_ls_archive_statusdir()', 'EXECUTE') AS may_list
      FROM pg_catalog.pg_stat_archiver
"""
# One file for each segment that waits.
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-GENFILE
READY = """
    SELECT count(*)::float8 AS files,
           extract(epoch FROM pg_catalog.clock_timestamp() - min(modification))::float8
             AS oldest_s
      FROM pg_catalog.pg_ls_archive_statusdir()
     WHERE name LIKE '%.ready'
"""
_LOOK = "SELECT * FROM pg_catalog.pg_stat_archiver"


async def find(server: Server, limits: Limits) -> Found:
    """Ask whether the last attempt failed, and how much waits for how long."""
    row = await server.row(ARCHIVER)
    if row["mode"] == "off":
        return Found("archive_mode is off")
    if row["is_standby"] and row["mode"] != "always":
        return Found("a standby leaves archiving to its writer")
    failing = [] if row["has_command"] else [_no_command()]
    if row["is_failing"] and row["has_command"]:
        failing.append(_failing(row))
    if not row["may_list"]:
        return _half_known(server, failing)
    ready = await server.row(READY)
    findings = [*failing, *await _waiting(server, ready, row, limits)]
    return Found(f"{ready['files']:.0f} WAL files wait to be archived", tuple(findings))


async def _waiting(
    server: Server, ready: dict[str, Any], row: dict[str, Any], limits: Limits
) -> list[Finding]:
    many = limits["ready"].graded(ready["files"])
    long = limits["oldest"].graded(ready["oldest_s"] or 0.0)
    if many is Status.FAIL and long is not Status.FAIL and await _goes_on(server, row):
        # So much was written at once; the archive takes it.
        many = Status.WARN
    status = worst([many, long])
    if status is Status.OK:
        return []
    since = duration_text(round(ready["oldest_s"] or 0.0))
    message = f"{ready['files']:.0f} files wait, the oldest for {since}"
    return [_finding(message, severity(status))]


async def _goes_on(server: Server, before: dict[str, Any]) -> bool:
    """Say whether something is archived meanwhile, and nothing fails."""
    await asyncio.sleep(server.interval_s)
    after = await server.row(ARCHIVER)
    archived: bool = after["archived_count"] > before["archived_count"]
    return archived and not after["is_failing"]


def _half_known(server: Server, failing: list[Finding]) -> Found:
    why = f"{server.user} may not see how many files wait"
    grant = server.grant("pg_monitor")
    unseen = _finding(why, Severity.UNKNOWN, remedy=grant)
    return Found(f"unknown: {why}", (*failing, unseen), requires=grant)


def _failing(row: dict[str, Any]) -> Finding:
    ago = duration_text(round(row["failed_s"]))
    return _finding(
        f"archiving {row['last_failed_wal']} failed {ago} ago and nothing was archived "
        "since; the server's log says why",
        Severity.WARN,
    )


def _no_command() -> Finding:
    return _finding(
        "archive_mode is on, and neither archive_command nor archive_library is set: "
        "every WAL file is kept",
        Severity.WARN,
        remedy="ALTER SYSTEM SET archive_mode = off -- from the next restart on",
    )


def _finding(message: str, how_bad: Severity, *, remedy: str = _LOOK) -> Finding:
    return Finding(object="archiver", message=message, remedy=remedy, severity=how_bad)


CHECK = ServerCheck(
    id="D18",
    title="archiving",
    question="Does WAL reach the archive?",
    on="each",
    find=find,
    limits={"ready": Limit(None, 10), "oldest": Limit(None, 900, "s")},
    on_aurora=False,
)
