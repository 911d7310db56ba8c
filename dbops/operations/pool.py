"""What may the pools open, what does the server allow, who holds connections now?"""

from collections.abc import Sequence

from dbops.engine.connect import Connection, Connector
from dbops.results import Model, Result, Status
from dbops.settings import Settings

# reserved_connections exists from 16 on. https://www.postgresql.org/docs/current/runtime-config-connection.html
LIMITS = """
    SELECT pg_catalog.current_setting('max_connections')::int AS max_connections,
           pg_catalog.current_setting('superuser_reserved_connections')::int
             + coalesce(pg_catalog.current_setting('reserved_connections', true),
                        '0')::int AS reserved,
           pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
             AS sees_everybody,
           pg_catalog.quote_ident(current_user) AS role
"""
# backend_type and state of other roles are hidden without pg_read_all_stats, so their
# sessions are counted by the database that they are connected to.
# https://www.postgresql.org/docs/current/monitoring-stats.html
HOLDERS = """
    SELECT coalesce(nullif(a.application_name, ''), '(no name)') AS application,
           coalesce(a.state, 'unknown') AS state,
           count(*)::int AS connections
      FROM pg_catalog.pg_stat_activity a
     WHERE a.backend_type = 'client backend'
        OR (a.backend_type IS NULL AND a.datid IS NOT NULL)
     GROUP BY 1, 2
     ORDER BY 3 DESC, 1, 2
"""

_NEARLY_FULL = 0.8
_FULL = 0.9


class PoolSettings(Model):
    """One pool as it is configured, for one process."""

    role: str
    """`writer` or `reader`."""
    pool_size: int
    """Connections kept; 0 means no limit."""
    max_overflow: int
    """More at most; -1 means no limit."""
    most: int | None
    """What the pool can open at most; null when there is no limit."""
    pool_timeout_s: float
    """How long a request waits for a connection."""
    pool_recycle_s: float | None
    """Age at which a connection is replaced; null for never."""


class Holder(Model):
    """Connections of one application in one state."""

    application: str
    """Its application_name."""
    state: str
    """`active`, `idle`, `idle in transaction`, …; `unknown` without the privilege."""
    connections: int
    """How many."""


class ServerConnections(Model):
    """What the writer's server allows and what is in use, our own session included."""

    max_connections: int
    """The server's limit."""
    reserved: int
    """Kept for superusers and for pg_use_reserved_connections (from 16 on)."""
    usable: int
    """What is left for applications."""
    in_use: int
    """Client connections now."""
    by_application: tuple[Holder, ...]
    """Who holds them, most first."""
    requires: str | None = None
    """The GRANT to run to see what is hidden; null when nothing is."""


class Term(Model):
    """One summand of the demand."""

    name: str
    """What opens these connections."""
    connections: int | None
    """How many at most; null when there is no limit."""


class Budget(Model):
    """Whether one process of the application fits on the writer's server."""

    demand: int | None
    """What all terms add up to; null when one of them has no limit."""
    terms: tuple[Term, ...]
    """The summands."""
    fits: bool
    """Whether the demand is at most what is usable; what has no limit never fits."""
    max_replicas: int | None
    """How many such processes fit; null when one has no limit."""


class Pool(Result):
    """Pools, server and budget."""

    engines: tuple[PoolSettings, ...]
    """The configured pools."""
    server: ServerConnections
    """The writer's server."""
    budget: Budget
    """One process against that server."""


async def pool(writer: Connector, settings: Settings) -> Pool:
    """Compare the configured pools with what the writer's server allows.

    Args:
        writer: How to connect to the server.
        settings: Where the pools are configured.

    Raises:
        DbopsError: As `Connector.__call__`.
    """
    async with writer.session() as connection:
        server = await _server(connection)
    roles = ("writer", "reader") if settings.has_reader else ("writer",)
    engines = tuple(_engine(role, settings) for role in roles)
    budget = _budget(engines[0], server.usable)
    used = server.in_use / server.usable if server.usable else 1.0
    status = Status.OK
    if used >= _NEARLY_FULL or not budget.fits:
        status = Status.WARN
    if used >= _FULL:
        status = Status.FAIL
    return Pool(status=status, engines=engines, server=server, budget=budget)


async def _server(connection: Connection) -> ServerConnections:
    limits = await connection.fetchrow(LIMITS)
    assert limits is not None  # the query has no FROM  # noqa: S101
    holders = tuple(
        Holder(**dict(row.items())) for row in await connection.fetch(HOLDERS)
    )
    grant = None
    if not limits["sees_everybody"]:
        grant = f"GRANT pg_read_all_stats TO {limits['role']}"
    return ServerConnections(
        max_connections=limits["max_connections"],
        reserved=limits["reserved"],
        usable=limits["max_connections"] - limits["reserved"],
        in_use=sum(holder.connections for holder in holders),
        by_application=holders,
        requires=grant,
    )


def _engine(role: str, settings: Settings) -> PoolSettings:
    size, overflow = settings.pool_size, settings.max_overflow
    return PoolSettings(
        role=role,
        pool_size=size,
        max_overflow=overflow,
        most=None if size == 0 or overflow < 0 else size + overflow,
        pool_timeout_s=settings.pool_timeout,
        pool_recycle_s=settings.pool_recycle,
    )


def _budget(writer: PoolSettings, usable: int) -> Budget:
    terms: Sequence[Term] = (Term(name="writer pool", connections=writer.most),)
    if writer.most is None:
        return Budget(demand=None, terms=tuple(terms), fits=False, max_replicas=None)
    return Budget(
        demand=writer.most,
        terms=tuple(terms),
        fits=writer.most <= usable,
        max_replicas=usable // writer.most,
    )
