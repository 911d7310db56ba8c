"""What can go wrong with a ping, told apart, and never for longer than it may take."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from pydantic import SecretStr

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connectors
from dbops.limits import amount
from dbops.local.state import Pair
from dbops.operations.ping import Ping, ping, thresholds
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import RunDbops, Served, until_reachable
from tests.faults.conftest import Stage, password
from tests.faults.proxy import (
    Proxy,
    deaf,
    impostor,
    plain_then,
    proxy,
    resetting,
    server_error,
    unanswered,
)
from tests.faults.test_pgbouncer import running


@dataclass(frozen=True)
class Fault:
    """How a ping of a broken writer ends."""

    code: int
    phase: str
    says: str
    kind: str = "UnreachableError"


STARTING = plain_then(server_error("57P03", "the database system is starting up"))
FAULTS = {
    "down": Fault(5, "connect", "nothing listens on"),
    "starting": Fault(5, "auth", "is not ready"),
    "full": Fault(5, "auth", "takes no more connections"),
    "unknown database": Fault(6, "auth", "does not exist", "RefusedError"),
    "wrong password": Fault(4, "auth", "refused the credentials", "CredentialsError"),
    "frozen": Fault(5, "auth", "2 s"),
    "no handshake": Fault(5, "connect", "2 s"),
    "cut": Fault(5, "auth", "ended the connection"),
}


@asynccontextmanager
async def broken(name: str, stage: Stage) -> AsyncGenerator[Endpoint]:
    """Yield an endpoint with one of the faults."""
    scripts = {"starting": STARTING, "frozen": deaf, "cut": resetting}
    server = replace(stage.server, sslmode="disable")
    async with AsyncExitStack() as stack:
        if name in scripts:
            address = await stack.enter_async_context(impostor(scripts[name]))
            yield replace(server, addresses=(address,))
        elif name == "no handshake":
            address = await stack.enter_async_context(unanswered())
            yield replace(server, addresses=(address,))
        elif name == "down":
            yield replace(server, addresses=(replace(server.addresses[0], port=1),))
        elif name == "full":
            yield stage.user("limited")
        elif name == "unknown database":
            yield server.with_database("nosuch")
        else:
            yield replace(server, password=SecretStr("wrong"))


@pytest.mark.parametrize("name", FAULTS)
async def test_every_fault_is_told_apart_by_the_command(
    name: str, stage: Stage, pair: Pair, dbops: RunDbops
) -> None:
    expected = FAULTS[name]
    async with broken(name, stage) as endpoint:
        env = {
            "DATABASE_URL": endpoint.url(show_password=True),
            "DATABASE_READER_URL": pair.reader.url(show_password=True),
            # Enough for a slow machine, and short enough for those who say nothing.
            "DBOPS_CONNECT_TIMEOUT": "2s",
        }
        words = ("ping", "--format")
        ran = await asyncio.to_thread(dbops, *words, "json", env=env)
    error = ran.json["error"]
    writer, reader = ran.json["result"]["endpoints"]
    assert (ran.code, ran.err) == (expected.code, "")
    assert (error["type"], error["phase"]) == (expected.kind, expected.phase)
    assert expected.says in error["message"]
    assert (writer["status"], reader["status"]) == ("fail", "ok")
    assert (writer["error"]["message"], reader["error"]) == (error["message"], None)
    assert (writer["latency_ms"], writer["server_version"]) == (None, None)
    for secret in (password(stage.server), stage.secret):
        assert secret not in ran.out


@pytest.mark.parametrize("name", ["full", "wrong password"])
async def test_a_person_reads_what_is_wrong_and_what_to_do(
    name: str, stage: Stage, dbops: RunDbops
) -> None:
    async with broken(name, stage) as endpoint:
        env = {"DATABASE_URL": endpoint.url(show_password=True)}
        ran = await asyncio.to_thread(dbops, "ping", env=env)
    assert ran.code == FAULTS[name].code
    assert "the writer gives no answer: " in ran.out
    assert FAULTS[name].says in ran.err
    assert "hint: " in ran.err
    for secret in (password(stage.server), stage.secret):
        assert secret not in ran.out + ran.err


async def asked(
    writer: Endpoint,
    reader: Endpoint | None = None,
    *,
    count: int = 1,
    limit_s: float | None = None,
    fail: str = "50%",
) -> Ping:
    settings = load_settings(flags={} if limit_s is None else {"timeout": limit_s})
    connectors = Connectors(settings)
    asking = {"writer": connectors.connector_to(writer)}
    if reader is not None:
        asking["reader"] = connectors.connector_to(reader, role="reader")
    limits = thresholds([], [amount(fail)])
    return await ping(
        asking,  # type: ignore[arg-type] # both keys are roles
        limits=limits,
        count=count,
        interval_s=0.02,
        limit_s=limit_s,
    )


async def seconds(work: Callable[[], Awaitable[Ping]]) -> tuple[float, Ping]:
    clock = asyncio.get_running_loop().time
    started = clock()
    result = await work()
    return clock() - started, result


async def test_silence_in_any_phase_and_any_shape_ends_in_time(pair: Pair) -> None:
    limit_s = 2.0
    writer = replace(pair.writer, sslmode="prefer")
    async with AsyncExitStack() as stack:
        # From the answer about TLS through authentication into the first query.
        shapes = [
            (await stack.enter_async_context(proxy(writer, answers=it))).before(writer)
            for it in (0, 1, 3, 10, 22)
        ]
        silent = await stack.enter_async_context(unanswered())
        hosts = (silent, shapes[0].addresses[0], silent)
        shapes.append(replace(writer, addresses=hosts))
        answered = await asyncio.gather(
            *(
                seconds(
                    lambda number=number, it=it: asked(  # type: ignore[misc] # bound now
                        it, pair.reader, count=1 + number % 2 * 4, limit_s=limit_s
                    )
                )
                for number, it in enumerate(shapes)
            )
        )
    for took_s, result in answered:
        assert took_s <= 1.1 * limit_s
        broken_one, healthy = result.endpoints
        assert (broken_one.status, healthy.error) == (Status.FAIL, None)
        assert healthy.latency_ms is not None
        assert broken_one.host is not None
        assert broken_one.error is not None
        assert broken_one.error.outcome == "unreachable"


async def test_silent_hosts_leave_time_for_the_next(pair: Pair) -> None:
    async with impostor(deaf) as mute, impostor(deaf) as dumb:
        hosts = (mute, dumb, *pair.writer.addresses)
        result = await asked(replace(pair.writer, addresses=hosts), limit_s=3.0)
    assert result.status is Status.OK
    assert result.endpoints[0].port == pair.writer.addresses[0].port


@asynccontextmanager
async def losing_every_second(endpoint: Endpoint) -> AsyncGenerator[Endpoint]:
    """Stand before a server, and hang up on each second client."""
    network, place, clients = Proxy(), endpoint.addresses[0], [0]

    async def script(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        clients[0] += 1
        if clients[0] % 2 == 0:
            await resetting(reader, writer)
            return
        server = await asyncio.open_connection(place.host, place.port)
        await network.serve(server, (reader, writer))

    async with impostor(script) as address:
        yield replace(endpoint, addresses=(address,), sslmode="disable")


@pytest.mark.parametrize(
    ("fail", "status"), [("50%", Status.FAIL), ("60%", Status.WARN)]
)
async def test_connections_that_are_lost_are_counted_and_graded(
    pair: Pair, fail: str, status: Status
) -> None:
    async with losing_every_second(pair.writer) as lossy:
        result = await asked(lossy, count=6, fail=fail)
    (writer,) = result.endpoints
    assert (writer.status, writer.count, writer.failed) == (status, 6, 3)
    assert (writer.error is not None) == (status is Status.FAIL)
    assert "3 of 6 connections failed" in result.summary + (writer.note or "")
    share = {it.name: it.value for it in result.measures()}["ping_failed"]
    assert share == 50


async def test_a_wrong_password_is_not_tried_again(pair: Pair) -> None:
    (writer,) = (
        await asked(replace(pair.writer, password=SecretStr("wrong")), count=5)
    ).endpoints
    assert (writer.count, writer.failed) == (1, 1)


async def test_what_there_is_no_time_for_is_said(pair: Pair) -> None:
    result = await asked(pair.writer, count=100_000, limit_s=0.6)
    (writer,) = result.endpoints
    assert (writer.status, writer.failed) == (Status.WARN, 0)
    assert 0 < writer.count < 100_000
    assert "there was no time for more" in (writer.note or "")


async def test_a_transaction_pooler_does_no_harm(served: Served) -> None:
    with running(served.writer) as pooled:
        await until_reachable(pooled, limit_s=10)
        results = await asyncio.gather(*(asked(pooled, count=10) for _ in range(4)))
    found = [it for result in results for it in result.endpoints]
    assert [(it.status, it.count, it.failed) for it in found] == [
        (Status.OK, 10, 0)
    ] * 4
