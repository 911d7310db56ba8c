"""What one endpoint answers to a ping."""

from datetime import datetime

from dbops.operations.ping.spread import Spread
from dbops.results import Model, Problem, Status


class Latency(Model):
    """Where the time of a ping went, in milliseconds."""

    resolve: float | None = None
    """Looking up the host name; null for a socket."""
    connect: float | None = None
    """Opening the connection."""
    tls: float | None = None
    """Agreeing on TLS; null for a connection in plain text."""
    auth: float | None = None
    """Proving who we are, up to the server's readiness."""
    query: float | None = None
    """The first query."""
    total: float
    """All of it, a second host or a second password included."""


class Tls(Model):
    """How the connection is encrypted."""

    in_use: bool
    """False for plain text."""
    version: str | None = None
    """Such as `TLSv1.3`; null for plain text."""
    cipher: str | None = None
    """The cipher's name; null for plain text."""
    certificate_expires: datetime | None = None
    """When the server's certificate ends; null for plain text, or if unreadable."""
    certificate_days_left: float | None = None
    """How many days are left until then, by our clock; negative once it has ended."""


class PingedEndpoint(Model):
    """What one endpoint answered; null stands for what is not known."""

    role: str
    """`writer` or `reader`."""
    status: Status
    """Ok when it answers, in time, and is what its role says."""
    host: str | None = None
    """The host that answered, or the first one that was tried."""
    port: int | None = None
    """Its port."""
    server_version: str | None = None
    """Such as `18.6`."""
    system_identifier: str | None = None
    """Which cluster; null on Aurora, and where our role may not know it."""
    is_in_recovery: bool | None = None
    """True for a standby."""
    is_read_only: bool | None = None
    """Whether a transaction is read-only by default."""
    tls: Tls | None = None
    """How the connection is encrypted."""
    latency_ms: Latency | None = None
    """Where the time of the last connection that answered went."""
    count: int
    """How many connections were tried."""
    failed: int
    """How many of them gave no answer."""
    spread_ms: Spread | None = None
    """The times of all that answered; null for a single connection."""
    note: str | None = None
    """What to know about it although it answers."""
    error: Problem | None = None
    """What is wrong."""

    @property
    def summary(self) -> str:
        """All of it in one sentence."""
        if self.latency_ms is None:
            why = self.error.message if self.error else "nobody knows why"
            return f"the {self.role} gives no answer: {why}"
        if self.status is not Status.OK:
            said = (self.error and self.error.message, self.note)
            return f"{self.role}: {'; '.join(it for it in said if it)}"
        what = "standby" if self.is_in_recovery else "primary"
        tls = (self.tls and self.tls.version) or "plain text"
        took = f"in {self.latency_ms.total:.1f} ms"
        if self.spread_ms is not None:
            of = self.spread_ms.total
            took = f"{self.count} times, p50 {of.p50:.1f} ms, p95 {of.p95:.1f} ms"
        return (
            f"{self.role} {self.host}:{self.port} answers {took} "
            f"({what}, {self.server_version}, {tls})"
        )
