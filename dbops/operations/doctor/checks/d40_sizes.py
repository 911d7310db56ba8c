"""Does WAL pile up? And how large are the databases?"""

from dbops.errors import DbopsError
from dbops.limits import Limit, amount_text
from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import Found, Limits, ServerCheck, severity
from dbops.operations.doctor.servers import Server
from dbops.results import Status

# Checkpoints keep WAL near max_wal_size; what wal_keep_size asks for is meant to stay.
# https://www.postgresql.org/docs/current/wal-configuration.html
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-GENFILE
# pg_ls_waldir: PostgreSQL 10 and newer.
WAL = """
    SELECT (SELECT coalesce(sum(size), 0)::bigint FROM pg_catalog.pg_ls_waldir())
             AS wal_bytes,
           pg_catalog.pg_size_bytes(pg_catalog.current_setting('max_wal_size'))
             AS max_bytes,
           pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_keep_size'))
             AS keep_bytes
"""
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBOBJECT
DATABASES = """
    SELECT pg_catalog.quote_ident(d.datname) AS name,
           pg_catalog.pg_database_size(d.oid)::float8 AS size_bytes
      FROM pg_catalog.pg_database d
     WHERE d.datallowconn AND NOT d.datistemplate
       AND (pg_catalog.has_database_privilege(d.oid, 'CONNECT')
            OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE'))
     ORDER BY 2 DESC
     LIMIT 5
"""
_HOLDERS = (
    "SELECT slot_name, active, wal_status, restart_lsn "
    "FROM pg_replication_slots ORDER BY restart_lsn"
)


async def find(server: Server, limits: Limits) -> Found:
    """Compare the WAL on disk with max_wal_size."""
    row = await server.row(WAL)
    wal, most, keep = row["wal_bytes"], row["max_bytes"], row["keep_bytes"]
    status = limits["value"].graded(100 * max(wal - keep, 0) / most)
    allowed = f"max_wal_size is {amount_text(most, 'B')}"
    if keep:
        allowed += f" and wal_keep_size {amount_text(keep, 'B')}"
    summary = f"{amount_text(wal, 'B')} of WAL; {allowed}"
    finding = Finding(
        object="pg_wal",
        message=f"{summary}: a slot, an archive that fails or a checkpoint that does "
        "not come keeps it",
        remedy=_HOLDERS,
        severity=severity(status),
    )
    findings = () if status is Status.OK else (finding,)
    return Found(summary, findings, await _sizes(server))


async def _sizes(server: Server) -> tuple[str, ...]:
    """Tell the largest databases; every file of each is looked at for that."""
    if server.role != "writer":
        return ()
    try:
        rows = await server.rows(DATABASES)
    except DbopsError as error:
        return (f"the databases could not be measured: {error.message}",)
    return tuple(f"{it['name']}: {amount_text(it['size_bytes'], 'B')}" for it in rows)


CHECK = ServerCheck(
    id="D40",
    title="WAL and database sizes",
    question="Does WAL pile up? And how large are the databases?",
    on="each",
    find=find,
    limits={"value": Limit(200, None, "%")},
    role="pg_monitor",
    on_aurora=False,
)
