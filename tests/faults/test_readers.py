"""Several readers: who serves, who is passed over, and who stands in for all."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import pairwise

import pytest
from sqlalchemy import text

from dbops.endpoint import Driver
from dbops.engine.connect import Connection, connect
from dbops.engine.database import Database
from dbops.engine.sessions.token import Token
from dbops.errors import (
    NoReaderError,
    RefusedError,
    StaleReaderError,
    UnreachableError,
    UsageError,
)
from dbops.local.state import Pair
from tests.conftest import Served, both_drivers
from tests.faults.proxy import Proxy, proxy
from tests.server.aurora import aurora

IS_STANDBY = text("SELECT pg_is_in_recovery()")

pytestmark = both_drivers


@pytest.fixture
async def admin(served: Served) -> AsyncGenerator[Connection]:
    made = await connect(served.writer, application_name="admin")
    yield made
    await made.close()


@asynccontextmanager
async def of_two(
    served: Served, **flags: object
) -> AsyncGenerator[tuple[list[Proxy], Database]]:
    """Two ways to the standby stand for two readers."""
    async with AsyncExitStack() as stack:
        ways = [await stack.enter_async_context(proxy(served.reader)) for _ in range(2)]
        both = replace(served.reader, addresses=tuple(it.address for it in ways))
        settings = served.settings(
            database_reader_url=both.url(show_password=True),
            connect_timeout="1s",
            **flags,
        )
        yield ways, await stack.enter_async_context(Database(settings))


async def read(database: Database) -> bool:
    async with database.reader() as session:
        return bool(await session.scalar(IS_STANDBY))


async def test_each_reader_is_warmed(served: Served) -> None:
    async with of_two(served, pool_size=2, max_overflow=1) as (ways, database):
        await database.warm()
        assert [it.connections for it in ways] == [2, 2]
        assert await read(database)
        assert [it.connections for it in ways] == [2, 2]
        assert database.pool("reader").most == 6


async def test_sessions_are_spread_over_the_readers(served: Served) -> None:
    async with of_two(served) as (ways, database), AsyncExitStack() as stack:
        for _ in range(6):
            session = await stack.enter_async_context(database.reader())
            assert await session.scalar(IS_STANDBY)
        assert [it.connections for it in ways] == [3, 3]
        assert database.pool("reader").in_use == 6


async def test_a_reader_that_is_down_is_passed_over_and_comes_back(
    served: Served,
) -> None:
    async with of_two(served) as (ways, database):
        for _ in range(4):
            assert await read(database)
        ways[0].refuse()
        ways[0].cut()
        for _ in range(20):
            assert await read(database)
        ways[0].accept()
        before = ways[0].connections
        async with asyncio.timeout(10):
            while ways[0].connections == before:
                assert await read(database)
                await asyncio.sleep(0.05)


async def test_without_a_reader_reading_fails_unless_the_writer_may_stand_in(
    served: Served,
) -> None:
    for fallback, expected in (("error", None), ("writer", False)):
        async with of_two(served, reader_fallback=fallback) as (ways, database):
            for way in ways:
                way.refuse()
            if expected is None:
                with pytest.raises(NoReaderError, match="no reader can be used"):
                    await read(database)
            else:
                assert await read(database) is expected


async def test_the_writer_stands_in_for_so_many_only(served: Served) -> None:
    async with of_two(served, reader_fallback="writer-limited(2)") as (ways, database):
        for way in ways:
            way.refuse()
        async with database.reader() as first, database.reader() as second:
            for session in (first, second):
                assert await session.scalar(IS_STANDBY) is False
            with pytest.raises(NoReaderError, match="as many reads as it may"):
                await read(database)
        assert await read(database) is False


async def test_a_reader_that_is_later_than_it_may_be_is_passed_over(
    served: Served, admin: Connection
) -> None:
    flags = {"reader_fallback": "writer", "max_lag": "300ms"}
    async with of_two(served, **flags) as (_, database):
        assert await read(database)
        standby = await connect(served.reader)
        try:
            await standby.execute("SELECT pg_catalog.pg_wal_replay_pause()")
            await admin.execute("CREATE TABLE late (n int)")
            await asyncio.sleep(0.4)
            assert await read(database) is False
        finally:
            await standby.execute("SELECT pg_catalog.pg_wal_replay_resume()")
            await standby.close()
        async with asyncio.timeout(10):
            while not await read(database):
                await asyncio.sleep(0.02)


async def test_on_aurora_nobody_promises_how_late_a_reader_is(
    pair: Pair, driver: Driver
) -> None:
    async with aurora(pair) as (writer, reader):
        served = Served("aurora", writer, reader, driver)
        async with Database(served.settings(max_lag="1s")) as database:
            with pytest.raises(NoReaderError, match="Aurora tells no position"):
                await read(database)
            token = await database.token()
            assert token == Token(None)
            async with database.reader(after=token) as session:
                assert await session.scalar(IS_STANDBY) is False


async def test_what_nobody_has_committed_makes_no_reader_late(
    served: Served, admin: Connection
) -> None:
    flags = {"reader_fallback": "writer", "max_lag": "500ms"}
    async with of_two(served, **flags) as (_, database):
        await admin.execute("CREATE TABLE pending (n int)")
        async with asyncio.timeout(10):
            while not await read(database):
                await asyncio.sleep(0.02)
        async with admin.transaction():
            await admin.execute("INSERT INTO pending VALUES (1)")
            served_by_reader = []
            for _ in range(10):
                await asyncio.sleep(0.1)
                served_by_reader.append(await read(database))
    assert all(served_by_reader)


@pytest.mark.parametrize("wrong", ["writer-limited(0)", "writer-limited", "anybody"])
async def test_a_fallback_that_is_none_is_a_usage_error(
    served: Served, wrong: str
) -> None:
    with pytest.raises(UsageError, match="reader-fallback"):
        served.settings(reader_fallback=wrong)


async def test_equal_readers_take_turns(served: Served) -> None:
    async with of_two(served) as (_, database):
        seen: list[int] = []
        for _ in range(40):
            async with database.reader() as session:
                connection = await session.connection()
                raw = await connection.get_raw_connection()
                seen.append(raw.driver_connection.get_server_pid())  # type: ignore[union-attr]
        assert len(Counter(seen)) == 2
        assert any(one != other for one, other in pairwise(seen))


async def test_the_writer_shows_ones_own_writes_where_the_reader_is_down(
    served: Served, admin: Connection
) -> None:
    async with of_two(served) as (ways, database):
        token = await database.token()
        for way in ways:
            way.refuse()
        async with database.reader(after=token) as session:
            assert await session.scalar(IS_STANDBY) is False
        with pytest.raises(NoReaderError):
            async with database.reader(after=token, otherwise="error"):
                pass


async def test_who_waits_for_a_position_holds_no_connection(served: Served) -> None:
    settings = served.settings(pool_size=1, max_overflow=0, pool_timeout="1s")
    async with Database(settings) as database:

        async def wait() -> None:
            far = Token("FFFFFFFF/0")
            async with database.reader(after=far, wait="800ms", otherwise="error"):
                pass

        waiting = [asyncio.create_task(wait()) for _ in range(5)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            for _ in range(10):
                assert await read(database)
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(it) for it in ended} == {StaleReaderError}


async def test_those_who_fail_together_send_a_reader_away_once(
    served: Served,
) -> None:
    settings = {"reader_fallback": "writer"}
    async with proxy(served.reader) as way:
        url = way.before(served.reader).url(show_password=True)
        async with Database(
            served.settings(database_reader_url=url, **settings)
        ) as database:
            way.refuse()
            assert await asyncio.gather(*(read(database) for _ in range(10))) == (
                [False] * 10
            )
            way.accept()
            # One after another they would have kept it away for half a minute.
            async with asyncio.timeout(5):
                while not await read(database):
                    await asyncio.sleep(0.02)


async def test_one_alone_tries_a_reader_that_has_failed(served: Served) -> None:
    async with proxy(served.reader) as way:
        url = way.before(served.reader).url(show_password=True)
        settings = served.settings(
            database_reader_url=url, reader_fallback="writer", connect_timeout="1s"
        )
        async with Database(settings) as database:
            way.freeze()
            await asyncio.gather(*(read(database) for _ in range(3)))
            before = way.connections
            async with asyncio.timeout(10):
                while way.connections == before:
                    await asyncio.gather(*(read(database) for _ in range(10)))
                    await asyncio.sleep(0.02)
            assert way.connections == before + 1
            way.thaw()


async def test_a_silent_writer_holds_up_who_wants_a_fresh_reader_only_once(
    served: Served,
) -> None:
    async with proxy(served.writer) as network:
        settings = served.settings(
            database_url=network.before(served.writer).url(show_password=True),
            database_reader_url=served.environment["DATABASE_READER_URL"],
            max_lag="2s",
            connect_timeout="300ms",
            command_timeout="300ms",
        )
        async with Database(settings) as database:
            network.freeze()
            ended = await asyncio.gather(
                *(read(database) for _ in range(8)), return_exceptions=True
            )
            assert {type(it) for it in ended} == {NoReaderError}
            assert network.connections == 1
            network.thaw()
            async with asyncio.timeout(10):
                while not await is_served(database):
                    await asyncio.sleep(0.05)


async def is_served(database: Database) -> bool:
    try:
        return await read(database)
    except NoReaderError:
        return False


async def test_what_one_session_may_not_do_sends_no_reader_away(
    served: Served,
) -> None:
    flags = {"pool_size": 1, "max_overflow": 0, "reader_fallback": "writer"}
    async with of_two(served, **flags) as (_, database):
        async with AsyncExitStack() as stack:
            for _ in range(2):
                alone = database.reader(autocommit=True)
                session = await stack.enter_async_context(alone)
                # As behind a pooler, where nothing keeps it from writing.
                await session.execute(text("SET default_transaction_read_only = 0"))
        for _ in range(3):
            with pytest.raises(RefusedError, match="nothing would keep"):
                async with database.reader(autocommit=True):
                    pass
            assert await read(database)


@pytest.mark.parametrize("how", ["silent", "cut"])
async def test_a_reader_that_ends_before_it_is_made_safe_is_unreachable(
    served: Served, admin: Connection, how: str
) -> None:
    async with proxy(served.reader) as network:
        settings = served.settings(
            database_reader_url=network.before(served.reader).url(show_password=True),
            command_timeout="500ms",
        )
        async with Database(settings) as database:
            network.freeze_after(b"default_transaction_read_only")
            if how == "cut":
                asyncio.get_running_loop().call_later(0.2, network.cut)
            with pytest.raises(UnreachableError):
                await read(database)
            network.freeze_after(b"no more")
            network.thaw()
            assert await read(database)
