"""Do the writer and the reader answer, and are they what they are meant to be?"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from time import perf_counter

from typing_extensions import override

from dbops.endpoint import Role
from dbops.engine.connect import Connector, Dialled
from dbops.errors import DbopsError, RefusedError
from dbops.results import Model, Problem, Result, Status, worst

# Qualified, because a hostile search_path may hold functions of the same names.
# https://www.postgresql.org/docs/current/functions-info.html
WHO = """
    SELECT pg_catalog.pg_is_in_recovery() AS is_in_recovery,
           pg_catalog.current_setting('transaction_read_only') = 'on' AS is_read_only,
           pg_catalog.current_setting('server_version') AS server_version
"""


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


class PingedEndpoint(Model):
    """What one endpoint answered; null stands for what is not known."""

    role: str
    """`writer` or `reader`."""
    status: Status
    """Ok when it answers and has its role."""
    host: str | None = None
    """The host that answered, or the first one that was tried."""
    port: int | None = None
    """Its port."""
    server_version: str | None = None
    """Such as `18.6`."""
    is_in_recovery: bool | None = None
    """True for a standby."""
    is_read_only: bool | None = None
    """Whether a transaction is read-only by default."""
    tls: Tls | None = None
    """How the connection is encrypted."""
    latency_ms: Latency | None = None
    """Where the time went."""
    note: str | None = None
    """What to know about it although it answers."""
    error: Problem | None = None
    """What is wrong."""


class Ping(Result):
    """The answers, in the order writer, reader."""

    endpoints: tuple[PingedEndpoint, ...]
    """One for each endpoint that was asked."""

    @property
    @override
    def problem(self) -> Problem | None:
        """What the first endpoint that fails says."""
        return next((e.error for e in self.endpoints if e.error is not None), None)


async def ping(connectors: Mapping[Role, Connector]) -> Ping:
    """Connect to every endpoint at once and ask each who it is.

    Args:
        connectors: Role → how to connect to it.

    Returns:
        The answers; an endpoint that does not answer is one of them, not an error.
    """
    endpoints = await asyncio.gather(
        *(_ping(role, connector) for role, connector in connectors.items())
    )
    return Ping(status=worst(e.status for e in endpoints), endpoints=tuple(endpoints))


async def _ping(role: Role, connector: Connector) -> PingedEndpoint:
    started = perf_counter()
    try:
        async with connector.dialled() as dialled:
            return await _asked(role, dialled, started)
    except DbopsError as error:
        return await _unanswered(role, connector, error)


async def _asked(role: Role, dialled: Dialled, started: float) -> PingedEndpoint:
    asked = perf_counter()
    row = await dialled.connection.fetchrow(WHO)
    assert row is not None  # the query has no FROM  # noqa: S101
    now = perf_counter()
    latency = {
        **dialled.latency_ms,
        "query": (now - asked) * 1000,
        "total": (now - started) * 1000,
    }
    standby, read_only = row["is_in_recovery"], row["is_read_only"]
    problem = _wrong_role(dialled) if role == "writer" and standby else None
    note = _note(role, is_standby=standby, is_read_only=read_only)
    return PingedEndpoint(
        role=role,
        status=Status.FAIL if problem else Status.WARN if note else Status.OK,
        host=dialled.address.host,
        port=dialled.address.port,
        server_version=row["server_version"].split(" ")[0],
        is_in_recovery=standby,
        is_read_only=read_only,
        tls=_tls(dialled),
        latency_ms=Latency(**{name: round(ms, 3) for name, ms in latency.items()}),
        note=note,
        error=problem,
    )


def _wrong_role(dialled: Dialled) -> Problem:
    return Problem.of(
        RefusedError(
            f"{dialled.address} is given as the writer and is a standby",
            hint="point DATABASE_URL at the primary, or name several hosts with "
            "target_session_attrs=read-write",
            phase="query",
        )
    )


def _note(role: Role, *, is_standby: bool, is_read_only: bool) -> str | None:
    if role == "reader" and not is_standby and not is_read_only:
        return "this reader is not a standby: it accepts writes"
    if role == "writer" and is_read_only and not is_standby:
        return "default_transaction_read_only is on: writes are refused"
    return None


def _tls(dialled: Dialled) -> Tls:
    if dialled.tls is None:
        return Tls(in_use=False)
    cipher = dialled.tls.cipher()
    return Tls(
        in_use=True,
        version=dialled.tls.version(),
        cipher=cipher[0] if cipher else None,
    )


async def _unanswered(
    role: Role, connector: Connector, error: DbopsError
) -> PingedEndpoint:
    """Say which host was tried, where that much is known."""
    host, port = None, None
    with suppress(DbopsError):
        first = (await connector.endpoint()).addresses[0]
        host, port = first.host, first.port
    return PingedEndpoint(
        role=role, status=Status.FAIL, host=host, port=port, error=Problem.of(error)
    )
