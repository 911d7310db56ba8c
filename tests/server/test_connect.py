"""Connecting as everybody does it."""

import asyncio
import random

import pytest

from dbops.credentials import Credentials
from dbops.endpoint import Address, Endpoint
from dbops.engine.connect import ConnectOptions, Connector, connect
from dbops.engine.quoting import quoted_identifier, quoted_literal
from dbops.errors import UnreachableError
from dbops.local.state import Pair
from tests.conftest import Served


async def test_each_phase_that_was_run_is_timed(served: Served) -> None:
    async with served.connectors().connector("writer").dialled() as dialled:
        assert set(dialled.latency_ms) == {"resolve", "connect", "auth"}
        assert all(spent > 0 for spent in dialled.latency_ms.values())
        assert dialled.address == served.writer.addresses[0]
        assert dialled.tls is None


async def test_a_request_to_cancel_does_not_change_what_was_timed(
    served: Served,
) -> None:
    async with served.connectors().connector("writer").dialled() as dialled:
        before = dict(dialled.latency_ms)
        with pytest.raises(TimeoutError):
            await dialled.connection.execute("SELECT pg_sleep(30)", timeout=0.05)
        assert await dialled.connection.fetchval("SELECT 1") == 1
        assert dialled.latency_ms == before


async def test_settings_arrive_on_the_server(served: Served) -> None:
    connectors = served.connectors(
        application_name="dbops/9 ping", statement_timeout="7s", lock_timeout="2s"
    )
    async with connectors.connector("writer").session() as connection:
        for name, value in {
            "application_name": "dbops/9 ping",
            "statement_timeout": "7s",
            "lock_timeout": "2s",
        }.items():
            assert await connection.fetchval(f"SHOW {name}") == value


async def test_the_sockets_keepalive_is_on(served: Served) -> None:
    import socket  # only here

    connection = await connect(served.writer)
    sock = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined] # noqa: SLF001 # shown nowhere else
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await connection.close()


async def test_quoted_names_and_literals_arrive_whole(served: Served) -> None:
    letters = "ab\"'\\%$;-\t\n 数é{}"
    rng = random.Random(7)  # noqa: S311 # not for secrets
    connection = await connect(served.writer)
    for _ in range(50):
        word = "".join(rng.choices(letters, k=12))
        row = await connection.fetchrow(
            f"SELECT {quoted_literal(word)} AS {quoted_identifier(word)}"
        )
        assert row is not None
        assert dict(row) == {word: word}
    await connection.close()


async def test_fifty_connections_at_once_are_all_closed(pair: Pair) -> None:
    connector = Connector(
        Credentials.known(pair.writer), ConnectOptions(application_name="fifty")
    )

    async def use() -> None:
        async with connector.session() as connection:
            await connection.execute("SELECT 1")

    await asyncio.gather(*(use() for _ in range(50)))
    async with connector.session() as connection, asyncio.timeout(2):
        while (
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fifty'"
            )
            > 1
        ):
            await asyncio.sleep(0.01)


async def test_a_session_in_a_cancelled_task_is_closed_also_while_it_opens(
    pair: Pair,
) -> None:
    options = ConnectOptions(application_name="opening")
    connector = Connector(Credentials.known(pair.writer), options)

    async def use() -> None:
        async with connector.session() as connection:
            await connection.execute("SELECT pg_sleep(0.01)")

    rng = random.Random(11)  # noqa: S311 # not for secrets
    for _ in range(60):
        task = asyncio.create_task(use())
        await asyncio.sleep(rng.uniform(0, 0.03))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    admin = await connect(pair.writer)
    async with asyncio.timeout(2):
        while await admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'opening'"
        ):
            await asyncio.sleep(0.01)
    await admin.close()


async def test_a_short_message_names_address_and_phase() -> None:
    nowhere = Endpoint(
        addresses=(Address("127.0.0.1", 1),), user="x", database="x", sslmode="disable"
    )
    with pytest.raises(UnreachableError, match=r"nothing listens on 127\.0\.0\.1:1"):
        await connect(nowhere)
