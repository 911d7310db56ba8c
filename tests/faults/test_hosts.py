"""Several hosts, and several addresses of one."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from dbops.credentials import Credentials
from dbops.endpoint import Address, Endpoint, SessionAttrs
from dbops.engine.connect import ConnectOptions, Connector, Dialled, connect
from dbops.errors import CredentialsError, DbopsError, RefusedError, UnreachableError
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from tests.faults.proxy import (
    HOST,
    Script,
    closing,
    deaf,
    impostor,
    plain_then,
    proxy,
    saying,
    server_error,
    unanswered,
)

LIMIT_S = 0.5
SLACK_S = 0.3


async def dialled(endpoint: Endpoint, **options: Any) -> Dialled:  # noqa: ANN401 # passed on
    limits = {"connect_timeout_s": LIMIT_S, "command_timeout_s": None, **options}
    connector = Connector(Credentials.known(endpoint), ConnectOptions(**limits))
    found = await connector.dial()
    await found.connection.close()
    return found


def among(pair: Pair, *addresses: Address, wanted: SessionAttrs = "any") -> Endpoint:
    return replace(pair.writer, addresses=addresses, target_session_attrs=wanted)


def writer(pair: Pair) -> Address:
    return pair.writer.addresses[0]


def reader(pair: Pair) -> Address:
    return pair.reader.addresses[0]


def nobody() -> Address:
    with socket.create_server((HOST, 0)) as listener:
        return Address(HOST, listener.getsockname()[1])


async def test_a_silent_first_host_costs_its_own_time_out_and_no_more(
    pair: Pair,
) -> None:
    async with impostor(deaf) as silent:
        started = time.monotonic()
        found = await dialled(among(pair, silent, writer(pair)))
        spent_s = time.monotonic() - started
    assert found.address == writer(pair)
    assert LIMIT_S <= spent_s <= LIMIT_S + 0.2 + SLACK_S


async def test_each_host_has_a_time_out_of_its_own(pair: Pair) -> None:
    async with impostor(deaf) as first, unanswered() as second:
        started = time.monotonic()
        found = await dialled(among(pair, first, second, writer(pair)))
    assert found.address == writer(pair)
    assert time.monotonic() - started <= 2 * LIMIT_S + 0.2 + SLACK_S


@pytest.mark.parametrize(
    "script",
    [
        closing,
        plain_then(server_error("57P03", "the database system is starting up")),
        saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ],
    ids=["closes", "is starting", "speaks HTTP"],
)
async def test_a_host_that_is_no_server_now_is_passed_over(
    pair: Pair, script: Script
) -> None:
    async with impostor(script) as first:
        assert (await dialled(among(pair, first, writer(pair)))).address == writer(pair)


async def test_a_refused_host_is_passed_over(pair: Pair) -> None:
    found = await dialled(among(pair, nobody(), writer(pair)))
    assert found.address == writer(pair)


async def test_a_host_that_shuts_down_is_passed_over(pair: Pair) -> None:
    async with throwaway(standby=False) as stopping:
        holder = await connect(stopping.writer)
        assert stopping.writer_pid is not None
        # A smart shutdown waits for the connection that is open.
        os.kill(stopping.writer_pid, signal.SIGTERM)
        endpoint = replace(stopping.writer, addresses=(writer(stopping), writer(pair)))
        # The password is the first server's: whoever goes on is refused by the second.
        with pytest.raises(CredentialsError, match=str(writer(pair).port)):
            await until_refused(endpoint)
        await holder.close()


async def until_refused(endpoint: Endpoint) -> None:
    async with asyncio.timeout(5):
        while True:
            await dialled(endpoint)


async def test_a_wrong_password_does_not_go_on(pair: Pair) -> None:
    async with proxy(pair.reader) as second:
        endpoint = among(pair, writer(pair), second.address)
        with pytest.raises(CredentialsError):
            await dialled(replace(endpoint, password=SecretStr("wrong")))
    assert second.connections == 0


async def test_a_missing_database_does_not_go_on(pair: Pair) -> None:
    async with proxy(pair.reader) as second:
        endpoint = among(pair, writer(pair), second.address)
        with pytest.raises(RefusedError, match="does not exist"):
            await dialled(endpoint.with_database("not_there"))
    assert second.connections == 0


@pytest.mark.parametrize(
    ("wanted", "role"),
    [
        ("any", "reader"),
        ("read-write", "writer"),
        ("read-only", "reader"),
        ("primary", "writer"),
        ("standby", "reader"),
        ("prefer-standby", "reader"),
    ],
)
async def test_the_host_with_the_role_asked_for_is_found(
    pair: Pair, wanted: SessionAttrs, role: str
) -> None:
    hosts = (reader(pair), writer(pair))
    expected = reader(pair) if role == "reader" else writer(pair)
    assert (await dialled(among(pair, *hosts, wanted=wanted))).address == expected
    if wanted != "any":
        found = await dialled(among(pair, *reversed(hosts), wanted=wanted))
        assert found.address == expected


@pytest.mark.parametrize("wanted", ["standby", "read-only"])
async def test_no_host_with_the_role_is_refused(
    pair: Pair, wanted: SessionAttrs
) -> None:
    with pytest.raises(RefusedError, match=f"no host of the writer is {wanted}"):
        await dialled(among(pair, writer(pair), wanted=wanted))


async def test_a_primary_does_where_a_standby_is_only_preferred(pair: Pair) -> None:
    async with proxy(pair.reader) as network:
        network.cut()
        endpoint = among(pair, nobody(), writer(pair), wanted="prefer-standby")
        assert (await dialled(endpoint)).address == writer(pair)


async def test_a_read_only_primary_is_not_read_write(pair: Pair) -> None:
    options = "-c default_transaction_read_only=on"
    endpoint = replace(among(pair, writer(pair)), options=options)
    await dialled(replace(endpoint, target_session_attrs="primary"))
    await dialled(replace(endpoint, target_session_attrs="read-only"))
    with pytest.raises(RefusedError):
        await dialled(replace(endpoint, target_session_attrs="read-write"))


@pytest.mark.parametrize("is_first", [True, False])
async def test_as_long_as_a_host_is_silent_nobody_says_there_is_no_primary(
    pair: Pair, *, is_first: bool
) -> None:
    hosts = (nobody(), reader(pair)) if is_first else (reader(pair), nobody())
    with pytest.raises(UnreachableError) as caught:
        await dialled(among(pair, *hosts, wanted="primary"))
    assert caught.value.retryable


async def test_every_host_is_named_when_none_answers(pair: Pair) -> None:
    hosts = (nobody(), nobody())
    with pytest.raises(UnreachableError) as caught:
        await dialled(among(pair, *hosts))
    assert all(str(host) in caught.value.message for host in hosts)


async def test_asking_for_the_role_is_bounded_too(pair: Pair) -> None:
    """Silence after authentication, with no time-out on statements."""
    count = await messages_until_ready(pair)
    async with proxy(pair.writer, answers=count) as network:
        started = time.monotonic()
        endpoint = among(pair, network.address, wanted="primary")
        with pytest.raises(UnreachableError) as caught:
            await dialled(endpoint, max_timeout_s=LIMIT_S)
    assert caught.value.phase == "query"
    assert time.monotonic() - started <= LIMIT_S * 1.1 + SLACK_S


async def messages_until_ready(pair: Pair) -> int:
    """Count what the server says until a client may ask."""
    for answers in range(15, 40):
        async with proxy(pair.writer, answers=answers) as network:
            try:
                await dialled(among(pair, network.address), connect_timeout_s=0.15)
            except DbopsError:
                continue
            return answers
    raise AssertionError


@pytest.fixture
async def names() -> AsyncGenerator[dict[str, list[str]]]:
    """A name server of our own: name → addresses."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def look_up(host: str, port: int, **kwargs: Any) -> list[Any]:  # noqa: ANN401 # as the real one
        return [
            place
            for address in known.get(host, [host])
            for place in real(address, port, **kwargs)
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        yield known


async def test_a_name_with_a_dead_and_a_living_address_is_reached(
    pair: Pair, names: dict[str, list[str]]
) -> None:
    names["db.example"] = ["127.0.0.2", HOST]
    found = await dialled(among(pair, Address("db.example", writer(pair).port)))
    assert found.address.host == "db.example"


async def test_a_name_with_a_silent_and_a_living_address_is_reached(
    pair: Pair, names: dict[str, list[str]]
) -> None:
    port = writer(pair).port
    names["db.example"] = ["127.0.0.2", HOST]
    with socket.create_server(("127.0.0.2", port), backlog=0):
        waiting = [socket.socket() for _ in range(4)]
        for knocking in waiting:
            knocking.settimeout(0)
            knocking.connect_ex(("127.0.0.2", port))
        started = time.monotonic()
        await dialled(among(pair, Address("db.example", port)))
        assert time.monotonic() - started <= LIMIT_S
        for knocking in waiting:
            knocking.close()


async def test_a_urls_time_out_is_kept_within_the_whole_budget(pair: Pair) -> None:
    async with impostor(deaf) as silent:
        endpoint = replace(among(pair, silent), connect_timeout_s=30)
        started = time.monotonic()
        with pytest.raises(UnreachableError, match=r"within 0\.3 s"):
            await dialled(endpoint, max_timeout_s=0.3)
    assert time.monotonic() - started <= 0.3 + SLACK_S
