"""What does one server allow, and who holds its connections?"""

from typing import Any

from dbops.engine.read_only import ReadOnly
from dbops.limits import Limit
from dbops.operations.pool.questions import ALLOWED, HOLDERS
from dbops.results import Model, Status, worst

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
