"""What was done to the schema, by whom and how long, taken down in the database."""

import platform
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from dbops import __version__
from dbops.engine.faults.translate import sqlstate
from dbops.engine.quoting import quoted_identifier
from dbops.errors import RefusedError
from dbops.operations.migrate.journal.stored import SCHEMA, created

Direction = Literal["upgrade", "downgrade", "stamp"]

# has_schema_privilege of a schema that is missing is null.
STATE = text(f"""
    SELECT n.oid IS NOT NULL AS has_schema,
           COALESCE(pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                    AND pg_catalog.has_schema_privilege(n.oid, 'CREATE'),
                    pg_catalog.has_database_privilege(
                        pg_catalog.current_database(), 'CREATE')) AS may_create,
           pg_catalog.current_database()::text AS database,
           current_user::text AS role
      FROM (SELECT) AS always
      LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = '{SCHEMA}'
""")  # noqa: S608 # a constant
CREATE = (
    f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
    f"COMMENT ON SCHEMA {SCHEMA} IS 'Migrations applied by dbops: see dbops history'",
)
# session_user, because env.py may have set another role for the DDL.
SESSION = text("""
    SELECT session_user::text AS actor,
           pg_catalog.current_setting('application_name') AS application_name,
           pg_catalog.host(pg_catalog.inet_client_addr()) AS client_address,
           pg_catalog.to_char(
               pg_catalog.clock_timestamp() AT TIME ZONE 'UTC',
               'YYYYMMDD"t"HH24MISS"_"US') AS clock
""")

# What somebody else's CREATE at the same time ends ours with, IF NOT EXISTS or not.
_RACES = frozenset({"23505", "42P06", "XX000"})
_ATTEMPTS = 5


def prepare(connection: Connection) -> None:
    """Create the journal where it is missing, and commit.

    Args:
        connection: One of its own: Alembic must not find it in a transaction.

    Raises:
        RefusedError: If the role may neither create the journal nor add to it.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        state = connection.execute(STATE).mappings().one()
        connection.rollback()
        if not state["may_create"]:
            raise _refused(dict(state))
        if state["has_schema"]:
            return
        try:
            for statement in CREATE:
                connection.execute(text(statement))
            connection.commit()
        except DBAPIError as error:
            connection.rollback()
            if sqlstate(error) not in _RACES or attempt == _ATTEMPTS:
                raise


def note(
    connection: Connection,
    *,
    revision: str,
    message: str,
    direction: Direction,
    before: Sequence[str],
    after: Sequence[str],
    started_at: datetime,
    duration_ms: float,
    version_table: str,
    actor: str | None = None,
) -> None:
    """Take one revision down, in the very transaction that applied it.

    Args:
        connection: The one that the revision ran on; what is open on it stays open.
        revision: Which revision.
        message: The first line of its docstring.
        direction: What was done with it.
        before: The database's revisions before.
        after: Its revisions now.
        started_at: When it began, with a time zone.
        duration_ms: How long it took, in milliseconds.
        version_table: The version table's name, with its schema where that is known.
        actor: On whose behalf; None for the role that logged in.

    Raises:
        RefusedError: If the role that runs the revision may not add to the journal.
    """
    session = connection.execute(SESSION).mappings().one()
    step = {
        "started_at": started_at.astimezone(UTC).isoformat(timespec="seconds"),
        "duration_ms": duration_ms,
        "direction": direction,
        "revision": revision,
        "message": message,
        "before": sorted(before),
        "after": sorted(after),
        "actor": actor or session["actor"],
        "application_name": session["application_name"],
        "client_host": platform.node(),
        "client_address": session["client_address"],
        "dbops_version": __version__,
        "version_table": version_table,
    }
    name = f"step_{session['clock']}_{secrets.token_hex(4)}"
    try:
        # Not text(), which would read the JSON's colons as parameters.
        connection.exec_driver_sql(created(name, step))
    except DBAPIError as error:
        if sqlstate(error) != "42501":
            raise
        state = {"role": "the role that runs the revisions", "has_schema": True}
        raise _refused(state) from error


def _refused(state: Mapping[str, Any]) -> RefusedError:
    where = f"SCHEMA {SCHEMA}"
    if not state["has_schema"]:
        where = f"DATABASE {quoted_identifier(state['database'])}"
    what = "CREATE, USAGE" if state["has_schema"] else "CREATE"
    doing = "add to" if state["has_schema"] else "create"
    return RefusedError(
        f"{state['role']} may not {doing} the journal in the schema {SCHEMA}",
        hint=f"GRANT {what} ON {where} TO {quoted_identifier(state['role'])}",
        phase="journal",
        sqlstate="42501",
    )
