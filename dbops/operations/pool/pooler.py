"""What does PgBouncer do, and what may it do?

https://www.pgbouncer.org/usage.html#show-commands
"""

from dbops.limits import Limit
from dbops.results import Model, Status

WAITING = Limit(1, 10, "s")
"""From when on a client has waited too long for a server's connection."""


class Pooled(Model):
    """A pool of PgBouncer: one database, one user, one process."""

    status: Status
    """Whether its clients wait for too long."""
    database: str
    """As PgBouncer calls it."""
    user: str
    """Who connects through it."""
    pool_mode: str
    """`session`, `transaction` or `statement`."""
    clients_active: int
    """Clients that have a connection of the server, or need none now."""
    clients_waiting: int
    """Clients that wait for one."""
    maxwait_s: float
    """How long the first of them has waited; 0 when nobody does."""
    servers: int
    """Connections to the server now."""


class Route(Model):
    """A database of PgBouncer: where it leads, and what it may open there."""

    name: str
    """As PgBouncer's clients call it."""
    host: str | None
    """The server's host; null for its socket."""
    port: int
    """Its port."""
    pool_size: int
    """Connections for each user."""
    reserve: int
    """More for each user, when clients wait."""
    users: int
    """How many users have a pool; one is assumed where there is none yet."""
    max_connections: int | None
    """For all users together; null for no limit."""
    most: int
    """What one process may open there."""


class PgBouncer(Model):
    """What the console says."""

    status: Status
    """Whether clients wait for too long."""
    summary: str
    """The same as a sentence."""
    host: str
    """The console's host."""
    port: int
    """Its port."""
    processes: int
    """How many processes were counted, each like the one that answered."""
    max_client_conn: int
    """How many clients one process takes."""
    max_user_connections: int | None
    """What each user may open on servers; null for no limit."""
    pools: tuple[Pooled, ...]
    """Every pool, the longest wait first."""
    routes: tuple[Route, ...]
    """Every database that it leads to."""
    default_most: int
    """What one process may open for a database that it has not heard of yet."""
    notes: tuple[str, ...] = ()
    """What is worth knowing."""

    @property
    def clients_waiting(self) -> int:
        """How many clients wait."""
        return sum(it.clients_waiting for it in self.pools)

    @property
    def maxwait_s(self) -> float:
        """How long the first of them has waited."""
        return max((it.maxwait_s for it in self.pools), default=0.0)
