"""SQLAlchemy's engines on a network that freezes and breaks."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from sqlalchemy import text

from dbops.credentials import Credentials
from dbops.endpoint import Endpoint
from dbops.engine.connect import ConnectOptions, Connector, connect
from dbops.engine.database import Database
from dbops.engine.ddl import ddl_connection
from dbops.engine.faults.translate import translated
from dbops.errors import DbopsError, UnreachableError
from tests.conftest import Served, both_drivers
from tests.faults.proxy import Proxy, impostor, plain_then, proxy

CONNECT_S = 0.5
COMMAND_S = 0.5
SLACK_S = 0.4
# As a server lets a client in: AuthenticationOk, BackendKeyData, ReadyForQuery.
LET_IN = (
    b"R\0\0\0\x08\0\0\0\0"
    b"S\0\0\0\x18server_version\x0018.0\0"
    b"K\0\0\0\x0c\0\0\0\x01\0\0\0\x01"
    b"Z\0\0\0\x05I"
)


def database_at(served: Served, endpoint: Endpoint, **flags: object) -> Database:
    flags = {
        "database_url": endpoint.url(show_password=True),
        "connect_timeout": f"{CONNECT_S}s",
        "command_timeout": f"{COMMAND_S}s",
        **flags,
    }
    return Database(served.settings(**flags))


@asynccontextmanager
async def through_a_network(served: Served) -> AsyncGenerator[tuple[Proxy, Database]]:
    async with (
        proxy(served.writer) as network,
        database_at(served, network.before(served.writer)) as database,
    ):
        yield network, database


async def use(database: Database) -> None:
    async with database.writer() as session:
        await session.execute(text("SELECT 1"))


async def ended_within(limit_s: float, work: Awaitable[object]) -> BaseException:
    started = time.monotonic()
    (ended,) = await asyncio.gather(work, return_exceptions=True)
    assert isinstance(ended, BaseException)
    assert time.monotonic() - started <= limit_s + SLACK_S
    return ended


@both_drivers
async def test_silence_after_authentication_is_bounded_for_an_engine(
    served: Served,
) -> None:
    async with impostor(plain_then(LET_IN)) as address:
        endpoint = replace(served.writer, addresses=(address,))
        async with database_at(served, endpoint) as database:
            ended = await ended_within(COMMAND_S * 1.2, use(database))
    assert isinstance(ended, UnreachableError)
    assert ended.phase == "query"


async def test_silence_after_authentication_is_bounded_for_ddl(served: Served) -> None:
    async with impostor(plain_then(LET_IN)) as address:
        endpoint = replace(served.writer, addresses=(address,))

        async def enter() -> None:
            # No time-out on statements, as for all DDL.
            options = ConnectOptions(command_timeout_s=None, max_timeout_s=COMMAND_S)
            connector = Connector(Credentials.known(endpoint), options)
            async with ddl_connection(connector):
                pass

        ended = await ended_within(COMMAND_S * 1.2, enter())
    assert isinstance(ended, UnreachableError)
    assert ended.phase == "query"
    assert "let us log in" in ended.message


@both_drivers
async def test_a_pooled_connection_that_froze_is_bounded(served: Served) -> None:
    async with through_a_network(served) as (network, database):
        await use(database)
        network.freeze()
        # The ping of the pool, its farewell, and a new connection.
        limit_s = COMMAND_S + 2 * CONNECT_S
        ended = await ended_within(limit_s, use(database))
        assert isinstance(ended, DbopsError | TimeoutError)
        network.thaw()
        await use(database)


@both_drivers
async def test_a_cut_network_is_noticed_and_the_pool_recovers(served: Served) -> None:
    async with through_a_network(served) as (network, database):
        await use(database)
        network.cut()
        await use(database)


@both_drivers
async def test_disposing_of_frozen_connections_is_bounded(served: Served) -> None:
    async with through_a_network(served) as (network, database):
        await asyncio.gather(*(use(database) for _ in range(5)))
        network.freeze()
        started = time.monotonic()
        await database.dispose()
        assert time.monotonic() - started <= 5 * 0.1 + 2 * SLACK_S


async def test_leaving_ddl_on_a_frozen_network_is_bounded(served: Served) -> None:
    async with proxy(served.writer) as network:
        options = ConnectOptions(command_timeout_s=None, max_timeout_s=COMMAND_S)
        credentials = Credentials.known(network.before(served.writer))

        async def leave() -> None:
            async with ddl_connection(Connector(credentials, options)) as connection:
                await connection.execute(text("SELECT 1"))
                network.freeze()
                raise KeyError("whatever made it leave")

        ended = await ended_within(COMMAND_S, leave())
    assert isinstance(ended, KeyError)


@both_drivers
async def test_cancelling_on_a_frozen_network_is_bounded(served: Served) -> None:
    async with through_a_network(served) as (network, database):
        await use(database)
        network.freeze()
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await use(database)
        assert time.monotonic() - started <= 0.2 + COMMAND_S + SLACK_S


async def test_a_frozen_network_takes_a_probe_its_whole_budget_and_no_more(
    served: Served,
) -> None:
    async with proxy(served.writer) as network:
        endpoint = network.before(served.writer)
        options = ConnectOptions(max_timeout_s=COMMAND_S)

        async def probe() -> None:
            connector = Connector(Credentials.known(endpoint), options)
            async with connector.session() as connection:
                network.freeze()
                await connection.execute("SELECT 1")

        ended = await ended_within(COMMAND_S * 1.2, probe())
    assert isinstance(ended, UnreachableError)


async def test_whoever_bounds_the_whole_still_hears_which_host_was_silent(
    served: Served,
) -> None:
    async with proxy(served.writer) as network:
        behind = network.before(served.writer)
        database = database_at(served, behind, timeout="1s", command_timeout="10s")

        async def probe() -> None:
            async with (
                asyncio.timeout(1),
                database.connectors.connector("writer").session() as connection,
            ):
                network.freeze()
                await connection.execute("SELECT 1")

        ended = await ended_within(1, probe())
    assert isinstance(ended, UnreachableError)
    assert str(network.address) in ended.message


@both_drivers
async def test_a_pool_in_full_use_is_told_as_that(served: Served) -> None:
    async def crowd() -> None:
        async with database_at(
            served, served.writer, pool_size=1, max_overflow=0, pool_timeout="100ms"
        ) as database:
            with translated(served.writer):
                async with database.writer() as session:
                    await session.execute(text("SELECT 1"))
                    await use(database)

    ended = await ended_within(0.1, crowd())
    assert isinstance(ended, UnreachableError)
    assert ended.phase == "pool"


async def test_requests_to_cancel_are_not_kept_for_ever(served: Served) -> None:
    """The driver forgets them by the loop that it was given."""
    connection = await connect(served.writer)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await connection.execute("SELECT pg_sleep(30)", timeout=0.02)
        await connection.execute("SELECT 1")
    assert connection._cancellations == set()  # type: ignore[attr-defined] # noqa: SLF001 # shown nowhere else
    await connection.close()


async def test_closing_twice_and_after_a_cut_is_quiet(served: Served) -> None:
    async with proxy(served.writer) as network:
        connection = await connect(network.before(served.writer))
        network.cut()
        await connection.close()
        await connection.close()
        connection.terminate()
        assert connection.is_closed()
