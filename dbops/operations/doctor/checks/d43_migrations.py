"""Has the database every migration of the project beside us?"""

from typing import Any

from dbops.errors import UnreachableError
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import (
    ClusterCheck,
    Found,
    Limits,
    NotApplicableError,
    UndecidedError,
)
from dbops.operations.doctor.project import (
    VersionTable,
    configured,
    quick_heads,
    standing,
    version_table,
)
from dbops.operations.doctor.servers import Cluster, Server

# Sessions begin with reset_val: the place of the first schema of that path that has the
# table. `"$user"` stands for a schema of our own name.
# https://www.postgresql.org/docs/current/catalog-pg-class.html
TABLES = """
    SELECT n.nspname::text AS schema,
           pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
           pg_catalog.has_schema_privilege(n.oid, 'USAGE')
             AND pg_catalog.has_table_privilege(c.oid, 'SELECT') AS may_read,
           current_user::text AS user,
           (SELECT s.reset_val FROM pg_catalog.pg_settings s
             WHERE s.name = 'search_path') AS search_path
      FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relname = $1 AND c.relkind IN ('r', 'p')
     ORDER BY n.nspname
"""
VERSIONS = "SELECT version_num::text AS version FROM {table}"
_SHOWN = 5


async def find(cluster: Cluster, limits: Limits) -> Found:
    """Compare the version table with the project's text."""
    del limits
    settings = cluster.settings
    named = configured(settings)
    server = cluster.writer or cluster.reader
    if server is None:
        raise UnreachableError("no server gives an answer")
    wanted = version_table(settings)
    table = await _table(server, wanted)
    if table is None:
        return _without_table(server, wanted, is_named=named is not None)
    if not table["may_read"]:
        raise UndecidedError(
            f"{server.user} may not read {table['name']}",
            requires=f"GRANT SELECT ON {table['name']} TO {server.user}",
        )
    rows = await server.rows(VERSIONS.format(table=table["name"]))
    versions = frozenset(row["version"] for row in rows)
    if versions and versions == quick_heads(settings):
        return _at_head(versions)
    state, pending = await standing(settings, versions)
    if state == "at_head":
        return _at_head(versions)
    return _judged(table["name"], state, versions, pending)


async def _table(server: Server, wanted: VersionTable) -> dict[str, Any] | None:
    """Return the version table that a session of ours would find."""
    rows = await server.rows(TABLES, wanted.name)
    if wanted.schema is not None:
        rows = [row for row in rows if row["schema"] == wanted.schema]
    if len(rows) <= 1:
        return rows[0] if rows else None
    place = {row["schema"]: row for row in rows}
    for part in rows[0]["search_path"].split(","):
        schema = part.strip().strip('"').replace('""', '"')
        found = place.get(rows[0]["user"] if schema == "$user" else schema)
        if found is not None:
            return found
    raise UndecidedError(
        f"several schemas have a table {wanted.name}: {', '.join(place)}",
        requires="put the project's schema into the role's search_path",
    )


def _without_table(server: Server, wanted: VersionTable, *, is_named: bool) -> Found:
    if not is_named:
        raise NotApplicableError(
            f"{server.database} has no table {wanted.name}: the project found here has "
            "never migrated it"
        )
    finding = Finding(
        object=wanted.name,
        message=f"{server.database} has no table {wanted.name}: no migration of the "
        "project was applied",
        remedy="dbops migrate",
        database=server.database,
    )
    return Found("no migration was applied", (finding,))


def _at_head(versions: frozenset[str]) -> Found:
    return Found(f"the database is at head: {', '.join(sorted(versions)) or 'empty'}")


def _judged(
    table: str, state: str, versions: frozenset[str], pending: tuple[str, ...]
) -> Found:
    has = ", ".join(sorted(versions)) or "no revision"
    if state in ("behind", "empty"):
        lacks = ", ".join(pending[:_SHOWN])
        if len(pending) > _SHOWN:
            lacks += f" and {len(pending) - _SHOWN} more"
        message = f"the database has {has} and lacks {lacks}"
        finding = Finding(object=table, message=message, remedy="dbops migrate")
        return Found(f"{len(pending)} migrations are pending", (finding,))
    finding = Finding(
        object=table,
        message=f"the database has {has}, which this code does not know: it is ahead, "
        "or belongs to another project",
        remedy="deploy the code that knows it, or point dbops at its project (-c)",
        severity=Severity.FAIL,
    )
    return Found("the database has a revision that is not known here", (finding,))


CHECK = ClusterCheck(
    id="D43",
    title="migrations",
    question="Has the database every migration of the project beside us?",
    find=find,
)
