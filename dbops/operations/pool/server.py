"""What does one server allow, and who holds its connections?"""

from typing import Any

from dbops.engine.read_only import ReadOnly
from dbops.limits import Limit
from dbops.results import Model, Status, worst

# reserved_connections and pg_use_reserved_connections exist from 16 on; RDS had a
# reserve of its own before that. A superuser has every role, and is no application.
# https://www.postgresql.org/docs/current/runtime-config-connection.html
# https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraPostgreSQL.Reference.ParameterGroups.html
ALLOWED = """
    SELECT pg_catalog.current_setting('max_connections')::int AS max_connections,
           pg_catalog.current_setting('superuser_reserved_connections')::int
             AS superuser_reserved,
           coalesce(pg_catalog.current_setting('reserved_connections', true),
                    pg_catalog.current_setting(
                      'rds.rds_superuser_reserved_connections', true),
                    '0')::int AS reserved_connections,
           coalesce((SELECT pg_catalog.pg_has_role(r.oid, p.oid, 'USAGE')
                       FROM pg_catalog.pg_roles p
                      WHERE p.rolname = 'pg_use_reserved_connections'), false)
             AS uses_reserved,
           r.rolsuper AS is_superuser,
           r.rolconnlimit AS role_limit,
           d.datconnlimit AS database_limit,
           pg_catalog.quote_ident(r.rolname) AS role,
           pg_catalog.quote_ident(d.datname) AS database,
           pg_catalog.quote_ident(current_user) AS grantee,
           pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
             AS sees_everybody,
           pg_catalog.pg_is_in_recovery() AS is_standby,
           pg_catalog.pg_postmaster_start_time()::text AS started_at
      FROM pg_catalog.pg_roles r, pg_catalog.pg_database d
     WHERE r.rolname = session_user
       AND d.datname = pg_catalog.current_database()
"""
# The type and the state of other roles' sessions are hidden without pg_read_all_stats;
# who they are is not. What has no user is a worker; a sender of WAL has a slot of its
# own, and its pid is shown to everybody.
# https://www.postgresql.org/docs/current/monitoring-stats.html
CLIENTS = """
    SELECT a.pid, a.usesysid, a.datid, a.usename, a.datname, a.state,
           coalesce(nullif(a.application_name, ''), '(no name)') AS application
      FROM pg_catalog.pg_stat_activity a
     WHERE a.backend_type = 'client backend'
        OR (a.backend_type IS NULL AND a.usesysid IS NOT NULL AND a.datid IS NOT NULL
            AND a.pid NOT IN (SELECT r.pid FROM pg_catalog.pg_stat_replication r))
"""
HOLDERS = f"""
    SELECT c.application,
           coalesce(c.state, 'unknown') AS state,
           count(*)::int AS connections,
           (count(*) FILTER (WHERE c.usename = session_user))::int AS of_role,
           (count(*) FILTER (WHERE c.datname = pg_catalog.current_database()))::int
             AS of_database
      FROM ({CLIENTS}) c
     GROUP BY 1, 2
     ORDER BY 3 DESC, 1, 2
"""  # noqa: S608 # a constant of ours

SATURATION = Limit(80, 90, "%")
"""From which share of what a limit allows on it is nearly full."""


class Holder(Model):
    """Connections of one application in one state."""

    application: str
    """Its application_name."""
    state: str
    """`active`, `idle`, `idle in transaction`, …; `unknown` without the privilege."""
    connections: int
    """How many."""


class ConnectionLimit(Model):
    """One limit that an application can reach."""

    name: str
    """`max_connections` (less what is reserved), or whose limit it is."""
    connections: int
    """How many it allows."""
    in_use: int
    """How many of them are in use."""

    @property
    def share_percent(self) -> float:
        """How much of it is in use, in percent; all of it where it allows none."""
        return 100 * self.in_use / self.connections if self.connections else 100.0


class ServerConnections(Model):
    """What a server allows and what is in use, our own session included."""

    status: Status
    """Whether any limit is nearly reached now."""
    host: str
    """The host that answered."""
    port: int
    """Its port."""
    is_standby: bool
    """Whether it is in recovery."""
    max_connections: int
    """The server's limit."""
    reserved: int
    """Kept for superusers, and for pg_use_reserved_connections (from 16 on) unless the
    application's role has that."""
    superuser_reserved: int
    """What superusers alone may use."""
    reserved_connections: int
    """What roles with pg_use_reserved_connections may use besides them; 0 before 16."""
    usable: int
    """What is left for the application: the least of all limits."""
    bound_by: str
    """Which limit that is."""
    in_use: int
    """Client connections now; senders of WAL and workers have slots of their own."""
    limits: tuple[ConnectionLimit, ...]
    """Every limit that holds, the least first."""
    by_application: tuple[Holder, ...]
    """Who holds them, most first."""
    notes: tuple[str, ...] = ()
    """What is worth knowing about the limits."""
    requires: str | None = None
    """The GRANT to run to see what is hidden; null when nothing is."""
    started_at: str
    """When the server was started, which tells two servers apart."""

    @property
    def summary(self) -> str:
        """One sentence."""
        nearest = max(self.limits, key=lambda it: it.share_percent)
        said = f"{nearest.in_use} of {nearest.connections} connections are in use"
        whose = "" if nearest.name == _SERVER else f" ({nearest.name})"
        hidden = f"; states are unknown, run: {self.requires}" if self.requires else ""
        return f"{said}{whose}{hidden}"


_SERVER = "max_connections less what is reserved"


async def server_connections(questions: ReadOnly) -> ServerConnections:
    """Ask a server for its limits and who is connected.

    Raises:
        DbopsError: As `ReadOnly.rows`.
    """
    allowed = await questions.row(ALLOWED)
    rows = await questions.rows(HOLDERS)
    reserved = allowed["superuser_reserved"]
    if allowed["is_superuser"] or not allowed["uses_reserved"]:
        reserved += allowed["reserved_connections"]
    limits = _limits(allowed, rows, reserved)
    return ServerConnections(
        status=worst(SATURATION.graded(it.share_percent) for it in limits),
        host=questions.address.host,
        port=questions.address.port,
        is_standby=allowed["is_standby"],
        max_connections=allowed["max_connections"],
        reserved=reserved,
        superuser_reserved=allowed["superuser_reserved"],
        reserved_connections=allowed["reserved_connections"],
        usable=limits[0].connections,
        bound_by=limits[0].name,
        in_use=sum(row["connections"] for row in rows),
        limits=limits,
        by_application=tuple(
            Holder(**{name: row[name] for name in Holder.model_fields}) for row in rows
        ),
        notes=tuple(_notes(allowed)),
        requires=None
        if allowed["sees_everybody"]
        else f"GRANT pg_read_all_stats TO {allowed['grantee']}",
        started_at=allowed["started_at"],
    )


def _limits(
    allowed: dict[str, Any], rows: list[dict[str, Any]], reserved: int
) -> tuple[ConnectionLimit, ...]:
    """Return the limits of an application, the least first."""
    kinds = [
        (_SERVER, max(allowed["max_connections"] - reserved, 0), "connections"),
        (f"the limit of the role {allowed['role']}", allowed["role_limit"], "of_role"),
        (
            f"the limit of the database {allowed['database']}",
            allowed["database_limit"],
            "of_database",
        ),
    ]
    if allowed["is_superuser"]:
        # No limit of its own ever holds a superuser.
        del kinds[1]
    found = [
        ConnectionLimit(
            name=name, connections=most, in_use=sum(row[column] for row in rows)
        )
        for name, most, column in kinds
        if most >= 0
    ]
    return tuple(sorted(found, key=lambda it: it.connections))


def _notes(allowed: dict[str, Any]) -> list[str]:
    if allowed["is_superuser"]:
        role = allowed["role"]
        return [f"{role} is a superuser: usable is what any other role may open"]
    if allowed["uses_reserved"]:
        return [f"{allowed['role']} may use reserved_connections: it has them too"]
    return []
