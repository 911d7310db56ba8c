"""Is each server what it is configured as?

The writer has to be a primary that takes writes; the reader a standby, or read-only.
A cluster without a replica answers with the writer where its reader is asked for.
"""

from typing import Any

from dbops.operations.doctor.answer import Finding, Role, Severity
from dbops.operations.doctor.check import ClusterCheck, Found, Limits
from dbops.operations.doctor.servers import Cluster, Server

# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL
WHO = """
    SELECT pg_catalog.pg_is_in_recovery() AS is_standby,
           pg_catalog.pg_postmaster_start_time() AS started,
           pg_catalog.current_setting('port') AS port
"""
# Read-only for us alone, and not for the application.
_FOR_US = frozenset({"user", "database user", "client", "session"})


async def find(cluster: Cluster, limits: Limits) -> Found:  # noqa: ARG001 # it has none
    """Compare what each server is with what it is configured as."""
    findings = [_unknown(role) for role in cluster.failures]
    notes: list[str] = []
    told: list[str] = [f"the {role} gives no answer" for role in cluster.failures]
    writer = None
    for server in cluster.servers:
        who = await server.row(WHO)
        who |= {
            "is_read_only": server.read_only_source is not None,
            "source": server.read_only_source,
        }
        told.append(f"the {server.role} is a {_kind(who)}")
        if server.role == "writer":
            writer = who
            finding, note = _of_writer(who, server)
        else:
            finding, note = _of_reader(who, writer, cluster)
        findings += [finding] if finding else []
        notes += [note] if note else []
    return Found("; ".join(told), tuple(findings), tuple(notes))


def _of_writer(
    who: dict[str, Any], server: Server
) -> tuple[Finding | None, str | None]:
    if who["is_standby"]:
        message = "the server given as the writer is a standby"
        return _finding("writer", message, "point DATABASE_URL at the primary"), None
    if not who["is_read_only"]:
        return None, None
    if who["source"] in _FOR_US:
        return None, (
            f"default_transaction_read_only is on for {server.user}: whether others "
            "can write is not known"
        )
    message = (
        "the writer refuses writes: default_transaction_read_only is on "
        f"(source: {who['source']})"
    )
    return _finding("writer", message, _writable_again(who, server)), None


def _writable_again(who: dict[str, Any], server: Server) -> str:
    if who["source"] == "database":
        quoted = '"' + server.database.replace('"', '""') + '"'
        return f"ALTER DATABASE {quoted} RESET default_transaction_read_only"
    return (
        "ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()"
        " -- once it is clear why it was set"
    )


def _of_reader(
    who: dict[str, Any], writer: dict[str, Any] | None, cluster: Cluster
) -> tuple[Finding | None, str | None]:
    if who["is_standby"]:
        return None, None
    if writer is not None and _instance(who) == _instance(writer):
        severity = Severity.WARN
        if cluster.settings.require_replica:
            severity = Severity.FAIL
        message = "the reader is the writer: both lead to one server"
        remedy = "add a replica, or point DATABASE_READER_URL at one"
        return _finding("reader", message, remedy, severity), None
    if who["is_read_only"]:
        return None, "the reader is no standby; it is read-only"
    if writer is None:
        message = (
            "the reader accepts writes; whether it is the writer itself is not known"
        )
        severity = Severity.WARN
    else:
        message = "the reader accepts writes, and it is another server than the writer"
        severity = Severity.FAIL
    remedy = "find out which one applications write to, and rebuild the other"
    return _finding("reader", message, remedy, severity), None


def _instance(who: dict[str, Any]) -> tuple[object, object]:
    """Return what two servers have not both in common."""
    return who["started"], who["port"]


def _kind(who: dict[str, Any]) -> str:
    if who["is_standby"]:
        return "standby"
    return "primary, read-only by default" if who["is_read_only"] else "primary"


def _unknown(role: Role) -> Finding:
    message = f"the {role} gives no answer, so its role is unknown"
    return _finding(role, message, None, Severity.UNKNOWN)


def _finding(
    role: Role, message: str, remedy: str | None, severity: Severity = Severity.FAIL
) -> Finding:
    return Finding(
        object=role, message=message, remedy=remedy, severity=severity, role=role
    )


CHECK = ClusterCheck(
    id="D03",
    title="roles",
    question="Is each server what it is configured as?",
    find=find,
)
