"""An application's sessions on a network that breaks, counted at the wire."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from dbops.engine.connect import Connection, connect
from dbops.engine.database import Database
from dbops.errors import CommitUnknownError, UnreachableError
from tests.conftest import Served, both_drivers
from tests.faults.proxy import Proxy, proxy

COUNT = text("SELECT count(*) FROM t")
KILL = """
    SELECT pg_catalog.pg_terminate_backend(pid)
      FROM pg_catalog.pg_stat_activity
     WHERE datname = current_database() AND application_name <> 'admin'
"""

pytestmark = both_drivers


@pytest.fixture
async def admin(served: Served) -> AsyncGenerator[Connection]:
    made = await connect(served.writer, application_name="admin")
    await made.execute("CREATE TABLE t (n int)")
    yield made
    await made.close()


@asynccontextmanager
async def through_a_network(
    served: Served, **flags: object
) -> AsyncGenerator[tuple[Proxy, Database]]:
    """Writer and reader are one server behind one network."""
    async with proxy(served.writer) as network:
        url = network.before(served.writer).url(show_password=True)
        settings = served.settings(database_url=url, database_reader_url=url, **flags)
        async with Database(settings) as database:
            yield network, database


async def read(database: Database) -> None:
    async with database.reader() as session:
        await session.execute(COUNT)


async def write(database: Database) -> None:
    async with database.writer() as session:
        await session.execute(text("INSERT INTO t VALUES (1)"))
        await session.commit()


async def read_alone(database: Database) -> None:
    async with database.reader(autocommit=True) as session:
        await session.execute(COUNT)


async def use_context(database: Database) -> None:
    async with database.context() as context:
        await context.reader.execute(COUNT)


async def take_token(database: Database) -> None:
    await database.token()


@pytest.mark.parametrize(
    ("use", "round_trips"),
    [
        # BEGIN, the statement, ROLLBACK (or COMMIT).
        (read, 3),
        (write, 3),
        (read_alone, 1),
        # The snapshot is taken with BEGIN; the writer takes no part.
        (use_context, 3),
        (take_token, 1),
    ],
)
async def test_a_warm_session_takes_as_many_round_trips_as_it_must(
    served: Served,
    admin: Connection,
    use: Callable[[Database], Awaitable[None]],
    round_trips: int,
) -> None:
    async with through_a_network(served) as (network, database):
        for _ in range(2):
            await use(database)
        before = network.round_trips
        await use(database)
        assert network.round_trips - before == round_trips


async def test_a_connection_that_rested_is_asked_in_one_round_trip(
    served: Served, admin: Connection
) -> None:
    async with through_a_network(served) as (network, database):
        for _ in range(2):
            await read(database)
        await asyncio.sleep(0.6)
        before = network.round_trips
        await read(database)
        assert network.round_trips - before == 4


@pytest.mark.parametrize("how", ["cut", "silent"])
async def test_a_commit_that_nobody_answers_is_unknown_and_not_repeated(
    served: Served, admin: Connection, how: str
) -> None:
    flags = {"command_timeout": "500ms", "pool_size": 1, "max_overflow": 0}
    async with through_a_network(served, **flags) as (network, database):
        await write(database)
        network.freeze_after(b"COMMIT;")
        if how == "cut":
            asyncio.get_running_loop().call_later(0.2, network.cut)
        with pytest.raises(CommitUnknownError, match="outcome is unknown"):
            await write(database)
        # The server had heard it: the row is there, once.
        assert await admin.fetchval("SELECT count(*) FROM t") == 2
        network.freeze_after(b"no more")
        network.thaw()
        await write(database)
    assert await admin.fetchval("SELECT count(*) FROM t") == 3


async def test_a_commit_that_could_not_be_sent_is_known_to_have_failed(
    served: Served, admin: Connection
) -> None:
    async with Database(served.settings(pool_size=1, max_overflow=0)) as database:

        async def write_too_late() -> None:
            async with database.engine("writer").begin() as connection:
                await connection.execute(text("INSERT INTO t VALUES (1)"))
                await admin.execute(KILL)
                await has_ended(connection)

        for _ in range(2):
            with pytest.raises(UnreachableError, match="nothing was committed") as it:
                await write_too_late()
            assert not isinstance(it.value, CommitUnknownError)
            assert it.value.retryable
        await write(database)
    assert await admin.fetchval("SELECT count(*) FROM t") == 1


async def test_a_commit_while_a_statement_runs_is_a_mistake_or_waits_for_it(
    served: Served, admin: Connection
) -> None:
    async with Database(served.settings(pool_size=1, max_overflow=0)) as database:
        async with database.engine("writer").connect() as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
            other = asyncio.create_task(
                connection.execute(text("SELECT pg_catalog.pg_sleep(0.3)"))
            )
            await asyncio.sleep(0.1)
            if served.driver == "asyncpg":
                with pytest.raises(DBAPIError, match="another operation"):
                    await connection.commit()
            else:
                await connection.commit()
            await asyncio.gather(other, return_exceptions=True)
        found = await admin.fetchval("SELECT count(*) FROM t")
        assert found == (0 if served.driver == "asyncpg" else 1)
        await write(database)


async def test_a_session_that_holds_a_lock_is_not_given_another_connection(
    served: Served, admin: Connection
) -> None:
    """Who has been answered once may count on what the connection holds for it."""
    async with Database(served.settings(pool_size=1, max_overflow=0)) as database:
        async with database.engine("writer").connect() as connection:
            await connection.execute(text("SELECT pg_catalog.pg_advisory_lock(1)"))
            await connection.commit()
            await admin.execute(KILL)
            await nobody_is_left(admin)
            with pytest.raises(DBAPIError):
                await connection.execute(text("INSERT INTO t VALUES (1)"))
        await write(database)
    assert await admin.fetchval("SELECT count(*) FROM t") == 1


async def nobody_is_left(admin: Connection) -> None:
    async with asyncio.timeout(5):
        while await admin.fetch(KILL):
            await asyncio.sleep(0.01)


async def has_ended(connection: AsyncConnection) -> None:
    """Wait until the driver has heard of its end."""
    raw = (await connection.get_raw_connection()).driver_connection
    assert raw is not None
    async with asyncio.timeout(5):
        while not raw.is_closed():
            await asyncio.sleep(0.01)


async def test_after_a_begin_that_nobody_answered_the_next_one_is_served_at_once(
    served: Served, admin: Connection
) -> None:
    flags = {"command_timeout": "1s", "connect_timeout": "1s", "pool_size": 1}
    async with through_a_network(served, **flags) as (network, database):
        for _ in range(2):
            await write(database)
        network.freeze()
        await admin.execute(KILL)
        with pytest.raises(UnreachableError, match="no answer in time"):
            await write(database)
        network.thaw()
        await write(database)
    assert await admin.fetchval("SELECT count(*) FROM t") == 3


async def test_who_is_cancelled_while_a_dead_connection_is_replaced_keeps_none(
    served: Served, admin: Connection
) -> None:
    async with Database(served.settings(pool_size=1, max_overflow=0)) as database:
        leavers: list[object] = []
        for steps in range(1, 20):
            async with database.engine("writer").connect() as connection:
                await admin.execute(KILL)
                await has_ended(connection)
            task = asyncio.create_task(write(database))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            # Kept, with their frames, or the garbage collector would tidy up.
            leavers += await asyncio.gather(task, return_exceptions=True)
            async with asyncio.timeout(5):
                while database.pool("writer").in_use:
                    await asyncio.sleep(0.01)
        assert any(isinstance(it, asyncio.CancelledError) for it in leavers)


async def test_rows_that_come_one_by_one_have_a_transaction_in_any_case(
    served: Served, admin: Connection
) -> None:
    async with through_a_network(served) as (_, database):
        async with database.reader(autocommit=True) as session:
            rows = await session.stream(text("SELECT generate_series(1, 1000)"))
            assert len([row async for row in rows]) == 1000
        await read_alone(database)


async def test_a_statement_that_was_cut_off_is_not_repeated(
    served: Served, admin: Connection
) -> None:
    async with through_a_network(served) as (network, database):
        await write(database)
        network.freeze_after(b"INSERT")
        asyncio.get_running_loop().call_later(0.2, network.cut)
        with pytest.raises(DBAPIError):
            # Another text, so that it is not known by a prepared statement's name.
            async with database.writer() as session:
                await session.execute(text("INSERT INTO t VALUES (2)"))
        network.freeze_after(b"no more")
        network.thaw()
        await write(database)
    assert await admin.fetchval("SELECT array_agg(n) FROM t") == [1, 1]


async def test_a_writer_that_became_read_only_is_left(
    served: Served, admin: Connection
) -> None:
    """As after a failover that keeps connections open: they lead to a standby now."""
    async with Database(served.settings(pool_size=2, max_overflow=0)) as database:
        async with database.writer() as session:
            await session.execute(
                text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            )
            await session.commit()
        with pytest.raises(DBAPIError, match="read-only"):
            await write(database)
        for _ in range(3):
            await write(database)
    assert await admin.fetchval("SELECT count(*) FROM t") == 3
