"""Is a setting on its way to lose data, or to let the database rot?"""

from typing import NamedTuple

from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import Found, Limits, ServerCheck
from dbops.operations.doctor.servers import Server

# reset_val is what a session begins with: our own has other time-outs.
# https://www.postgresql.org/docs/current/view-pg-settings.html
SETTINGS = """
    SELECT s.name, s.reset_val AS value
      FROM pg_catalog.pg_settings s
     WHERE s.name = ANY ($1::text[])
     ORDER BY s.name
"""


class _Danger(NamedTuple):
    """A value that is dangerous."""

    value: str
    why: str
    good: str
    severity: Severity


# https://www.postgresql.org/docs/current/runtime-config-wal.html
# https://www.postgresql.org/docs/current/runtime-config-developer.html
DANGERS = {
    "fsync": _Danger("off", "a crash corrupts the whole cluster", "on", Severity.FAIL),
    "full_page_writes": _Danger(
        "off", "a crash in the middle of a page corrupts it", "on", Severity.FAIL
    ),
    "autovacuum": _Danger(
        "off", "dead rows pile up until wraparound forces a vacuum", "on", Severity.WARN
    ),
    "track_counts": _Danger(
        "off", "autovacuum does not know what to do", "on", Severity.WARN
    ),
    "zero_damaged_pages": _Danger(
        "on", "damaged pages are emptied without a word", "off", Severity.WARN
    ),
    "ignore_checksum_failure": _Danger(
        "on", "damaged pages are read as if they were good", "off", Severity.WARN
    ),
}
# Aurora's storage writes whole pages itself.
# https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraPostgreSQL.Reference.ParameterGroups.html
_NOT_ON_AURORA = ("fsync", "full_page_writes")
_TIMEOUTS = {
    "statement_timeout": "a statement may run for ever",
    "lock_timeout": "a statement may wait for a lock for ever",
    "idle_in_transaction_session_timeout": "a transaction may be left open for ever",
}


async def find(server: Server, limits: Limits) -> Found:
    """Name each setting that has a dangerous value."""
    del limits
    asked = [*DANGERS, *_TIMEOUTS, "password_encryption"]
    rows = await server.rows(SETTINGS, asked)
    values = {row["name"]: row["value"] for row in rows}
    findings = tuple(
        Finding(
            object=name,
            message=f"{name} is {danger.value}: {danger.why}",
            remedy=f"ALTER SYSTEM SET {name} = {danger.good}; SELECT pg_reload_conf()",
            severity=danger.severity,
        )
        for name, danger in DANGERS.items()
        if values.get(name) == danger.value
        and not (server.is_aurora and name in _NOT_ON_AURORA)
    )
    notes = [
        f"{name} is 0 for {server.user}: {why}"
        for name, why in _TIMEOUTS.items()
        if values.get(name) == "0"
    ]
    if values.get("password_encryption") == "md5":
        notes.append("password_encryption is md5: new passwords are stored weakly")
    found = ", ".join(it.object for it in findings)
    summary = f"dangerous: {found}" if findings else "no setting endangers the data"
    return Found(summary, findings, tuple(notes))


CHECK = ServerCheck(
    id="D38",
    title="dangerous settings",
    question="Is a setting on its way to lose data, or to let the database rot?",
    on="each",
    find=find,
)
