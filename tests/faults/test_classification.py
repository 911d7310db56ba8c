"""Every fault is told apart: its class, its phase, its exit, in time, in one line."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import SecretStr

from dbops.credentials import Credentials
from dbops.endpoint import Address, Endpoint, SslMode
from dbops.engine.connect import Connection, ConnectOptions, Connector, connect
from dbops.errors import (
    CredentialsError,
    DbopsError,
    FailedError,
    LockedError,
    Outcome,
    RefusedError,
    UnreachableError,
)
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from tests.conftest import Served
from tests.faults.conftest import Stage, password
from tests.faults.proxy import (
    HOST,
    Proxy,
    Script,
    closing,
    deaf,
    impostor,
    plain_then,
    proxy,
    resetting,
    saying,
    server_error,
    unanswered,
)

LIMIT_S = 0.4
# A closing connection may take its time, and this machine is a noisy one.
SLACK_S = 0.3


@dataclass(frozen=True)
class Bench:
    """What a fault is provoked on."""

    pair: Pair
    stage: Stage
    database: Endpoint
    """An empty database of the test's own."""
    folder: Path


Provoke = Callable[[Bench], Awaitable[object]]


class Fault(NamedTuple):
    """What happens, and what dbops has to say about it."""

    provoke: Provoke
    kind: type[DbopsError]
    phase: str
    outcome: Outcome
    retryable: bool = False
    sqlstate: str | None = None
    words: str = ""
    slow_s: float = 0.0
    """How much longer than one time-out it may take."""


def reach(
    endpoint: Endpoint,
    *,
    command_timeout_s: float = LIMIT_S,
    settings: Mapping[str, str] | None = None,
) -> Connector:
    options = ConnectOptions(
        connect_timeout_s=LIMIT_S,
        command_timeout_s=command_timeout_s,
        server_settings=settings or {},
    )
    return Connector(Credentials.known(endpoint), options)


async def ask(
    endpoint: Endpoint,
    question: str = "SELECT 1",
    settings: Mapping[str, str] | None = None,
) -> None:
    async with reach(endpoint, settings=settings).session() as connection:
        await connection.execute(question)


def at(endpoint: Endpoint, address: Address) -> Endpoint:
    return replace(endpoint, addresses=(address,))


def to_impostor(script: Script, sslmode: SslMode = "disable") -> Provoke:
    async def provoke(bench: Bench) -> None:
        async with impostor(script) as address:
            await ask(replace(at(bench.pair.writer, address), sslmode=sslmode))

    return provoke


def as_user(kind: str) -> Provoke:
    return lambda bench: ask(bench.stage.user(kind))


def to_database(kind: str) -> Provoke:
    return lambda bench: ask(bench.stage.database(kind))


def writing(question: str, **settings: str) -> Provoke:
    return lambda bench: ask(bench.database, question, settings)


def changed(**what: Any) -> Provoke:  # noqa: ANN401 # fields of Endpoint
    return lambda bench: ask(replace(bench.pair.writer, **what))


async def wrong_password(bench: Bench) -> None:
    await ask(replace(bench.stage.user("plain"), password=SecretStr("Not-It-At-All")))


async def no_password(bench: Bench) -> None:
    await ask(replace(bench.stage.user("plain"), password=None))


async def refused_port(bench: Bench) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    await ask(at(bench.pair.writer, Address(HOST, port)))


async def no_handshake(bench: Bench) -> None:
    async with unanswered() as address:
        await ask(at(bench.pair.writer, address))


async def silent_name_server(bench: Bench) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(1.5))
        await ask(at(bench.pair.writer, Address("db.example", 5432)))


async def server_is_full(bench: Bench) -> None:
    del bench
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(own_server("5"))
        admin = await stack.enter_async_context(open_to(server))
        await admin.execute("CREATE USER guest PASSWORD 'guest'")
        guest = replace(server, user="guest", password=SecretStr("guest"))
        while True:
            await stack.enter_async_context(open_to(guest))


@asynccontextmanager
async def open_to(endpoint: Endpoint) -> AsyncGenerator[Connection]:
    connection = await connect(endpoint)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def own_server(max_connections: str) -> AsyncGenerator[Endpoint]:
    settings = {"max_connections": max_connections, "max_wal_senders": "0"}
    async with throwaway(standby=False, settings=settings) as pair:
        yield pair.writer


async def server_is_stopping(bench: Bench) -> None:
    del bench
    async with throwaway(standby=False) as pair, open_to(pair.writer):
        assert pair.writer_pid is not None
        # A smart shutdown waits for the connection that is open.
        os.kill(pair.writer_pid, 15)
        async with asyncio.timeout(5):
            while True:
                await ask(pair.writer)


async def lock_timeout(bench: Bench) -> None:
    async with open_to(bench.database) as holder:
        await holder.execute("CREATE TABLE t ()")
        await holder.execute("BEGIN; LOCK t")
        await ask(bench.database, "BEGIN; LOCK t", {"lock_timeout": "50ms"})


async def deadlock(bench: Bench) -> None:
    settings = {"deadlock_timeout": "10ms"}
    async with open_to(bench.database) as admin:
        await admin.execute("CREATE TABLE a (); CREATE TABLE b ()")

    async def lock(first: str, second: str, barrier: asyncio.Barrier) -> None:
        connector = reach(bench.database, command_timeout_s=5, settings=settings)
        async with connector.session() as connection:
            await connection.execute(f"BEGIN; LOCK {first}")
            await barrier.wait()
            await connection.execute(f"LOCK {second}; ROLLBACK")

    barrier = asyncio.Barrier(2)
    ended = await asyncio.gather(
        lock("a", "b", barrier), lock("b", "a", barrier), return_exceptions=True
    )
    raise next(end for end in ended if isinstance(end, Exception))


async def terminated_mid_query(bench: Bench) -> None:
    await while_it_sleeps(bench, "pg_terminate_backend")


async def cancelled_by_somebody(bench: Bench) -> None:
    await while_it_sleeps(bench, "pg_cancel_backend")


async def while_it_sleeps(bench: Bench, function: str) -> None:
    sleeper = reach(bench.database, command_timeout_s=5)
    async with open_to(bench.database) as admin, sleeper.session() as connection:
        pid = connection.get_server_pid()
        sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
        await until_active(admin, pid)
        await admin.execute(f"SELECT {function}({pid})")
        await sleeping


async def until_active(admin: Connection, pid: int) -> None:
    async with asyncio.timeout(5):
        while not await admin.fetchval(
            "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1", pid
        ):
            await asyncio.sleep(0.005)


async def terminated_while_idle(bench: Bench) -> None:
    idler = reach(bench.database)
    async with open_to(bench.database) as admin, idler.session() as connection:
        pid = connection.get_server_pid()
        await admin.execute(f"SELECT pg_terminate_backend({pid})")
        await until_closed(connection)
        await connection.execute("SELECT 1")


async def last_word_without_an_end(bench: Bench) -> None:
    """The server's last message has arrived, and the end of the connection has not."""
    async with (
        open_to(bench.database) as admin,
        through_a_network(bench) as (network, connection),
    ):
        pid = connection.get_server_pid()
        network.keep_open()
        await admin.execute(f"SELECT pg_terminate_backend({pid}, 5000)")
        await asyncio.sleep(0.1)
        await connection.execute("SELECT 1")


async def until_closed(connection: Connection) -> None:
    async with asyncio.timeout(5):
        while not connection.is_closed():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def through_a_network(
    bench: Bench,
) -> AsyncGenerator[tuple[Proxy, Connection]]:
    async with proxy(bench.database) as network:
        connector = reach(network.before(bench.database))
        async with connector.session() as connection:
            yield network, connection


async def frozen_mid_query(bench: Bench) -> None:
    async with through_a_network(bench) as (network, connection):
        network.freeze()
        await connection.execute("SELECT 1")


async def cut_mid_query(bench: Bench) -> None:
    async with through_a_network(bench) as (network, connection):
        asyncio.get_running_loop().call_later(0.1, network.cut)
        await connection.execute("SELECT pg_sleep(30)")


async def cut_while_idle(bench: Bench) -> None:
    async with through_a_network(bench) as (network, connection):
        network.cut()
        await until_closed(connection)
        await connection.execute("SELECT 1")


async def refused_socket(bench: Bench) -> None:
    """The socket is there, and its server is not."""
    path = bench.folder / ".s.PGSQL.5432"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    await ask(at(bench.pair.writer, Address(str(bench.folder))))


async def forbidden_socket(bench: Bench) -> None:
    bench.folder.chmod(0)
    us = os.geteuid()
    if us == 0:
        os.seteuid(65534)  # root may use every socket
    try:
        await ask(at(bench.pair.writer, Address(str(bench.folder))))
    finally:
        os.seteuid(us)
        bench.folder.chmod(0o700)


def after_messages(answers: int) -> Provoke:
    async def provoke(bench: Bench) -> None:
        async with proxy(bench.database, answers=answers) as network:
            await ask(network.before(bench.database))

    return provoke


UNREACHABLE = (UnreachableError, Outcome.UNREACHABLE, True)
REFUSED = (RefusedError, Outcome.REFUSED, False)
CREDENTIALS = (CredentialsError, Outcome.CONFIG, False)
FAILED = (FailedError, Outcome.UNHEALTHY, False)
LOCKED = (LockedError, Outcome.LOCKED, True)


def fault(
    provoke: Provoke,
    kind: tuple[type[DbopsError], Outcome, bool],
    phase: str,
    sqlstate: str | None = None,
    words: str = "",
    *,
    slow_s: float = 0.0,
    retryable: bool | None = None,
) -> Fault:
    error, outcome, default = kind
    again = default if retryable is None else retryable
    return Fault(provoke, error, phase, outcome, again, sqlstate, words, slow_s)


START = b"R\0\0\0\x08\0\0\0\0"
FAULTS: dict[str, Fault] = {
    # Who we are.
    "wrong password": fault(wrong_password, CREDENTIALS, "auth", "28P01"),
    "no password": fault(no_password, CREDENTIALS, "auth", "28P01"),
    "missing role": fault(changed(user="nobody-here"), CREDENTIALS, "auth", "28P01"),
    "role without LOGIN": fault(as_user("nologin"), CREDENTIALS, "auth", "28000"),
    "role's connection limit": fault(as_user("limited"), UNREACHABLE, "auth", "53300"),
    # Which database.
    "missing database": fault(
        changed(database="not-there"), REFUSED, "auth", "3D000", "'not-there'"
    ),
    "no CONNECT privilege": fault(to_database("private"), REFUSED, "auth", "42501"),
    "datallowconn is false": fault(to_database("closed"), REFUSED, "auth", "55000"),
    "database's connection limit": fault(
        to_database("crowded"), UNREACHABLE, "auth", "53300"
    ),
    "unknown session setting": fault(
        changed(options="-c no_such_setting=1"),
        FAILED,
        "auth",
        "42704",
    ),
    # The server.
    "server is full": fault(server_is_full, UNREACHABLE, "auth", "53300", slow_s=9),
    "server is stopping": fault(
        server_is_stopping, UNREACHABLE, "auth", "57P03", "not ready", slow_s=9
    ),
    "server is starting": fault(
        to_impostor(plain_then(server_error("57P03", "the system is starting up"))),
        UNREACHABLE,
        "auth",
        "57P03",
    ),
    "first words of a server are a bug": fault(
        to_impostor(plain_then(server_error("XX000", "\x1b[31mline 1\nline 2 \u202e"))),
        FAILED,
        "auth",
        "XX000",
    ),
    # The network before PostgreSQL.
    "refused port": fault(
        refused_port, UNREACHABLE, "connect", None, "nothing listens"
    ),
    "port 0": fault(changed(addresses=(Address(HOST, 0),)), UNREACHABLE, "connect"),
    "unknown host": fault(
        changed(addresses=(Address("no-such-host.invalid"),)), UNREACHABLE, "resolve"
    ),
    "host with an empty label": fault(
        changed(addresses=(Address("a..b"),)), UNREACHABLE, "resolve", retryable=False
    ),
    "host with a label of 64 letters": fault(
        changed(addresses=(Address("a" * 64),)), UNREACHABLE, "resolve", retryable=False
    ),
    "silent name server": fault(silent_name_server, UNREACHABLE, "resolve"),
    "no answer to SYN": fault(no_handshake, UNREACHABLE, "connect"),
    "socket folder missing": fault(
        changed(addresses=(Address("/nowhere/at/all"),)), UNREACHABLE, "connect"
    ),
    "socket path too long": fault(
        changed(addresses=(Address("/" + "x" * 200),)), UNREACHABLE, "connect"
    ),
    "socket without a server": fault(refused_socket, UNREACHABLE, "connect"),
    "socket forbidden": fault(forbidden_socket, REFUSED, "connect"),
    # Not PostgreSQL.
    "accepts and is deaf": fault(to_impostor(deaf), UNREACHABLE, "auth"),
    "deaf, with prefer": fault(to_impostor(deaf, "prefer"), UNREACHABLE, "tls"),
    "deaf, with require": fault(to_impostor(deaf, "require"), UNREACHABLE, "tls"),
    "closes at once": fault(to_impostor(closing), UNREACHABLE, "auth", "08003"),
    "closes at once, with prefer": fault(
        to_impostor(closing, "prefer"), UNREACHABLE, "tls"
    ),
    "resets": fault(to_impostor(resetting), UNREACHABLE, "auth", "08003"),
    "resets, with prefer": fault(to_impostor(resetting, "prefer"), UNREACHABLE, "tls"),
    "speaks HTTP": fault(
        to_impostor(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")), UNREACHABLE, "auth"
    ),
    "speaks HTTP, with prefer": fault(
        to_impostor(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "prefer"),
        UNREACHABLE,
        "auth",
    ),
    "speaks HTTP, with require": fault(
        to_impostor(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "require"),
        UNREACHABLE,
        "tls",
        None,
        "does not offer TLS",
        retryable=False,
    ),
    "speaks SSH": fault(
        to_impostor(saying(b"SSH-2.0-OpenSSH_9.2\r\n")), UNREACHABLE, "auth"
    ),
    "speaks MySQL": fault(
        to_impostor(saying(b"J\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0")),
        UNREACHABLE,
        "auth",
    ),
    "speaks zeros": fault(to_impostor(saying(bytes(64))), UNREACHABLE, "auth"),
    "speaks noise": fault(to_impostor(saying(bytes(range(256)))), UNREACHABLE, "auth"),
    "garbage instead of a TLS handshake": fault(
        to_impostor(saying(b"S"), "require"), UNREACHABLE, "tls"
    ),
    "wants Kerberos": fault(
        to_impostor(plain_then(b"R\0\0\0\x08\0\0\0\x02")),
        REFUSED,
        "auth",
    ),
    "ends an exchange that has not begun": fault(
        to_impostor(plain_then(b"R\0\0\0\x08\0\0\0\x0c")), UNREACHABLE, "auth"
    ),
    "is ready before it has a version": fault(
        to_impostor(plain_then(START + b"Z\0\0\0\x05I")), UNREACHABLE, "auth"
    ),
    "an error without fields": fault(
        to_impostor(plain_then(b"E\0\0\0\x05\0")), UNREACHABLE, "auth"
    ),
    "lets everybody in, and is silent": fault(
        to_impostor(plain_then(START)), UNREACHABLE, "auth"
    ),
    **{
        f"silent after {k} messages": fault(after_messages(k), UNREACHABLE, "auth")
        for k in range(9)
    },
    # A statement.
    "25006": fault(
        lambda bench: ask(bench.pair.reader, "CREATE TABLE t ()"),
        REFUSED,
        "query",
        "25006",
    ),
    "42501": fault(
        lambda bench: ask(bench.stage.user("plain"), "CREATE ROLE x"),
        REFUSED,
        "query",
        "42501",
    ),
    "55P03": fault(lock_timeout, LOCKED, "query", "55P03"),
    "40P01": fault(deadlock, LOCKED, "query", "40P01", slow_s=1),
    "57014 by statement_timeout": fault(
        writing("SELECT pg_sleep(30)", statement_timeout="50ms"),
        UNREACHABLE,
        "query",
        "57014",
    ),
    "57014 by somebody": fault(
        cancelled_by_somebody, UNREACHABLE, "query", "57014", slow_s=1
    ),
    "57P01 mid-query": fault(
        terminated_mid_query, UNREACHABLE, "query", "57P01", slow_s=1
    ),
    "57P01 while idle": fault(terminated_while_idle, UNREACHABLE, "query", slow_s=1),
    "57P01 without an end": fault(
        last_word_without_an_end, UNREACHABLE, "query", slow_s=1
    ),
    "a missing template": fault(
        writing("CREATE DATABASE x TEMPLATE no_such_template"),
        REFUSED,
        "query",
        "3D000",
        "no_such_template",
    ),
    "frozen mid-query": fault(frozen_mid_query, UNREACHABLE, "query"),
    "slow statement": fault(writing("SELECT pg_sleep(30)"), UNREACHABLE, "query"),
    "cut mid-query": fault(cut_mid_query, UNREACHABLE, "query", "08003"),
    "cut while idle": fault(cut_while_idle, UNREACHABLE, "query", None),
}


@pytest.fixture
def bench(pair: Pair, stage: Stage, served: Served, tmp_path: Path) -> Bench:
    # A socket's path is short.
    return Bench(pair, stage, served.writer, tmp_path)


@pytest.mark.parametrize("name", FAULTS)
async def test_every_fault_is_told_apart(bench: Bench, name: str) -> None:
    expected = FAULTS[name]
    started = time.monotonic()
    with pytest.raises(DbopsError) as caught:
        await expected.provoke(bench)
    spent_s = time.monotonic() - started
    error = caught.value
    found = (type(error), error.phase, error.outcome, error.retryable)
    assert found == (
        expected.kind,
        expected.phase,
        expected.outcome,
        expected.retryable,
    ), error.message
    if expected.sqlstate is not None:
        assert error.sqlstate == expected.sqlstate
    assert expected.words in error.message
    assert_is_one_clean_line(error.message, bench)
    assert error.hint is None or error.hint.isprintable()
    assert spent_s <= LIMIT_S * 1.1 + SLACK_S + expected.slow_s


def assert_is_one_clean_line(message: str, bench: Bench) -> None:
    assert message.strip()
    assert message.isprintable()
    assert not message.endswith((":", "None", "()"))
    for secret in (password(bench.pair.writer), bench.stage.secret, "Not-It-At-All"):
        assert secret not in message


def test_the_table_is_long_enough() -> None:
    assert len(FAULTS) >= 40
