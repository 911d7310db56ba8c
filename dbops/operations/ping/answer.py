"""What a ping answers."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from typing_extensions import override

from dbops.operations.ping.spread import Spread
from dbops.results import Checked, Measure, Model, Problem, Result, Status


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


class Ping(Result):
    """The answers, in the order writer, reader."""

    summary: str
    """One sentence, the worst first."""
    endpoints: tuple[PingedEndpoint, ...]
    """One for each endpoint that was asked."""
    warn_ms: float | None = None
    """The total time from which on an answer is worth a warning; null for never."""
    fail_ms: float | None = None
    """The total time from which on it fails; null for never."""

    @property
    @override
    def problem(self) -> Problem | None:
        """What the first endpoint that fails says."""
        return next((e.error for e in self.endpoints if e.error is not None), None)

    @override
    def checked(self) -> Sequence[Checked]:
        return [
            Checked(
                f"ping_{it.role}",
                f"does the {it.role} answer, and is it one?",
                it.status,
                it.summary,
            )
            for it in self.endpoints
        ]

    @override
    def measures(self) -> Sequence[Measure]:
        return [measure for it in self.endpoints for measure in self._of(it)]

    def _of(self, it: PingedEndpoint) -> Iterator[Measure]:
        role = {"role": it.role}
        yield Measure(
            "ping_up",
            float(it.latency_ms is not None),
            labels=role,
            about="Whether it answers.",
        )
        yield Measure(
            "ping_total",
            _seconds(_graded_ms(it)),
            "s",
            role,
            _seconds(self.warn_ms),
            _seconds(self.fail_ms),
            "From the name to the first answer; p95 of several connections.",
        )
        phases = () if it.latency_ms is None else list(it.latency_ms)[:-1]
        for phase, ms in phases:
            # A phase that is not run is no number that we lack.
            if ms is not None:
                about = "Where the time went."
                labels = {**role, "phase": phase}
                yield Measure("ping_phase", _seconds(ms), "s", labels, about=about)
        if it.spread_ms is not None:
            for name, ms in it.spread_ms.total:
                about = "How the totals of all connections spread."
                labels = {**role, "quantile": name}
                yield Measure("ping_spread", _seconds(ms), "s", labels, about=about)
            share = 100 * it.failed / it.count
            about = "Connections that gave no answer."
            yield Measure("ping_failed", share, "%", role, about=about)
        if it.tls is not None and it.tls.in_use:
            days = it.tls.certificate_days_left
            left_s = None if days is None else days * 86400
            about = "Until the server's certificate ends."
            yield Measure("ping_certificate_left", left_s, "s", role, about=about)


def _graded_ms(it: PingedEndpoint) -> float | None:
    """Return the time that is held against the thresholds."""
    if it.spread_ms is not None:
        return it.spread_ms.total.p95
    return None if it.latency_ms is None else it.latency_ms.total


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000
