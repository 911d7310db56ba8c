"""Does the server run with what its configuration files say?"""

from typing import Any

from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import Found, Limits, ServerCheck
from dbops.operations.doctor.servers import Server

# https://www.postgresql.org/docs/current/view-pg-settings.html
PENDING = """
    SELECT s.name
      FROM pg_catalog.pg_settings s
     WHERE s.pending_restart
     ORDER BY s.name
"""
# Who may look is told first: a view that is refused would be a lost question.
# https://www.postgresql.org/docs/current/view-pg-file-settings.html
# https://www.postgresql.org/docs/current/view-pg-hba-file-rules.html
MAY_READ = """
    SELECT c.relname::text AS view, p.proname::text AS function,
           pg_catalog.has_table_privilege(c.oid, 'SELECT')
             AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE') AS may_read
      FROM pg_catalog.pg_class c
      JOIN (VALUES ('pg_file_settings', 'pg_show_all_file_settings'),
                   ('pg_hba_file_rules', 'pg_hba_file_rules')) named (view, function)
        ON named.view = c.relname
      JOIN pg_catalog.pg_proc p
        ON p.proname = named.function
       AND p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
     WHERE c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace
     ORDER BY c.relname
"""
# A setting that waits for a restart is an error of its line, too.
BAD_LINES = {
    "pg_file_settings": """
        SELECT f.sourcefile || ':' || f.sourceline AS place,
               coalesce(f.name || ': ', '') || f.error AS error
          FROM pg_catalog.pg_file_settings f
         WHERE f.error IS NOT NULL
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_settings s
                            WHERE s.name = f.name AND s.pending_restart)
         ORDER BY f.seqno
         LIMIT 20
    """,
    "pg_hba_file_rules": """
        SELECT 'pg_hba.conf:' || h.line_number AS place, h.error
          FROM pg_catalog.pg_hba_file_rules h
         WHERE h.error IS NOT NULL
         ORDER BY h.line_number
         LIMIT 20
    """,
}


async def find(server: Server, limits: Limits) -> Found:
    """Name what waits for a restart, and each line that cannot be read."""
    del limits
    findings = [_pending(row["name"]) for row in await server.rows(PENDING)]
    waiting = len(findings)
    notes: list[str] = []
    for row in await server.rows(MAY_READ):
        if row["may_read"]:
            lines = await server.rows(BAD_LINES[row["view"]])
            findings += [_bad_line(line) for line in lines]
        else:
            notes.append(_unseen(server, row))
    summary = "the server runs with what its files say"
    if findings:
        summary = (
            f"{waiting} settings wait for a restart, "
            f"{len(findings) - waiting} lines cannot be read"
        )
    elif notes:
        summary = "no setting waits for a restart"
    return Found(summary, tuple(findings), tuple(notes))


def _pending(name: str) -> Finding:
    return Finding(
        object=name,
        message=f"{name} was changed and waits for a restart of the server",
        remedy="restart the server at a quiet time (pg_ctl restart)",
    )


def _bad_line(row: dict[str, Any]) -> Finding:
    return Finding(
        object=row["place"],
        message=f"this line is not in force: {row['error']}; a server with such a "
        "file may not start again",
        remedy="mend the line, then: SELECT pg_reload_conf()",
    )


def _unseen(server: Server, row: dict[str, Any]) -> str:
    return (
        f"whether {row['view']} has errors may not be seen; this lets it: "
        f"GRANT SELECT ON {row['view']} TO {server.user}; "
        f"GRANT EXECUTE ON FUNCTION {row['function']}() TO {server.user}"
    )


CHECK = ServerCheck(
    id="D39",
    title="configuration files",
    question="Does the server run with what its configuration files say?",
    on="each",
    find=find,
)
