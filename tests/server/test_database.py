"""Writer and reader as the server itself sees them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from dbops.engine.connect import Connection, connect
from dbops.engine.database import Database
from dbops.engine.ddl import ddl_connection
from dbops.errors import (
    DbopsError,
    FailedError,
    LockedError,
    ReadOnlyError,
    RefusedError,
    UnreachableError,
)
from tests.conftest import Served, both_drivers

MODES = text("""
    SELECT current_setting('transaction_isolation'),
           current_setting('transaction_read_only'),
           current_setting('transaction_deferrable')
""")
SLEEP = text("SELECT pg_sleep(30)")


@pytest.fixture
async def database(served: Served) -> AsyncGenerator[Database]:
    """Writer and reader are one server: only the sessions can tell them apart."""
    settings = served.settings(
        database_reader_url=served.environment["DATABASE_URL"],
        application_name="dbops/test engine",
        statement_timeout="20s",
        lock_timeout="300ms",
    )
    async with Database(settings) as database:
        yield database


@pytest.fixture
async def admin(served: Served) -> AsyncGenerator[Connection]:
    connection = await connect(served.writer, application_name="admin")
    yield connection
    await connection.close()


async def backends(admin: Connection) -> int:
    count: int = await admin.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name <> 'admin' AND backend_type = 'client backend'"
    )
    return count


async def until_backends(admin: Connection, wanted: int, within_s: float = 1) -> None:
    async with asyncio.timeout(within_s):
        while await backends(admin) != wanted:
            await asyncio.sleep(0.005)


async def test_nothing_connects_before_the_first_use(
    database: Database, admin: Connection
) -> None:
    database.engine("writer")
    database.engine("reader")
    assert await backends(admin) == 0


@both_drivers
async def test_each_engine_is_made_once_for_twenty_first_uses(
    database: Database,
) -> None:
    async def first_use(number: int) -> tuple[int, int]:
        role = database.writer if number % 2 else database.reader
        async with role() as session:
            await session.execute(text("SELECT 1"))
        return id(database.engine("writer")), id(database.engine("reader"))

    assert len(set(await asyncio.gather(*map(first_use, range(20))))) == 1


@both_drivers
async def test_the_server_reports_the_modes_of_writer_and_reader(
    database: Database,
) -> None:
    async with database.writer() as session:
        assert tuple((await session.execute(MODES)).one()) == (
            "read committed", "off", "off",
        )  # fmt: skip
    async with database.reader() as session:
        assert tuple((await session.execute(MODES)).one()) == (
            "repeatable read", "on", "off",
        )  # fmt: skip


async def test_the_reader_sees_one_snapshot(
    database: Database, admin: Connection
) -> None:
    await admin.execute("CREATE TABLE t ()")
    count = text("SELECT count(*) FROM t")
    async with database.reader() as session:
        assert await session.scalar(count) == 0
        await admin.execute("INSERT INTO t DEFAULT VALUES")
        assert await session.scalar(count) == 0
    async with database.reader() as session:
        assert await session.scalar(count) == 1


async def test_a_write_through_the_reader_fails(database: Database) -> None:
    async with database.reader() as session:
        with pytest.raises(ReadOnlyError, match="sent to the reader"):
            await session.execute(text("CREATE TABLE t ()"))


async def test_what_is_not_committed_is_rolled_back(
    database: Database, admin: Connection
) -> None:
    await admin.execute("CREATE TABLE t ()")
    async with database.writer() as session:
        await session.execute(text("INSERT INTO t DEFAULT VALUES"))
    assert await admin.fetchval("SELECT count(*) FROM t") == 0
    async with database.writer() as session:
        await session.execute(text("INSERT INTO t DEFAULT VALUES"))
        await session.commit()
    assert await admin.fetchval("SELECT count(*) FROM t") == 1


@both_drivers
async def test_name_and_time_outs_arrive_on_the_server(
    database: Database, served: Served
) -> None:
    names = ("application_name", "statement_timeout", "lock_timeout")
    ask = text("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
    async with database.writer() as session:
        assert tuple((await session.execute(ask)).one()) == (
            "dbops/test engine", "20s", "300ms",
        )  # fmt: skip
    connectors = served.connectors(lock_timeout="300ms")
    async with ddl_connection(
        connectors.connector("writer", is_ddl=True)
    ) as connection:
        found = (await connection.execute(ask)).one()
    assert tuple(found)[1:] == ("0", "0")  # DDL has a time-out of its own


@both_drivers
async def test_dispose_closes_every_connection(
    database: Database, admin: Connection
) -> None:
    async def use() -> None:
        async with database.writer() as session:
            await session.execute(text("SELECT pg_sleep(0.05)"))

    await asyncio.gather(*(use() for _ in range(4)))
    assert await backends(admin) > 0
    await database.dispose()
    await until_backends(admin, 0)
    await use()
    assert await backends(admin) == 1


@both_drivers
async def test_a_connection_that_died_in_the_pool_is_replaced(
    database: Database, admin: Connection
) -> None:
    async with database.writer() as session:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
    await admin.execute(f"SELECT pg_terminate_backend({pid})")
    await until_backends(admin, 0)
    async with database.writer() as session:
        assert await session.scalar(text("SELECT pg_backend_pid()")) != pid


@both_drivers
@pytest.mark.parametrize("times", [1, 2, 5])
async def test_cancelling_a_session_ends_its_statement_and_leaves_none(
    database: Database, admin: Connection, times: int
) -> None:
    async def sleep() -> None:
        async with database.writer() as session:
            await session.execute(SLEEP)

    await cancelled(sleep(), admin, times)
    await until_asleep(admin, 0)
    await database.dispose()
    await until_backends(admin, 0)


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("autocommit", [True, False])
async def test_cancelling_ddl_ends_its_statement_and_its_session(
    served: Served, admin: Connection, times: int, *, autocommit: bool
) -> None:
    async def sleep() -> None:
        connector = served.connectors().connector("writer", is_ddl=True)
        async with ddl_connection(connector, autocommit=autocommit) as connection:
            await connection.execute(SLEEP)

    await cancelled(sleep(), admin, times)
    await until_backends(admin, 0)


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_cancelling_a_probe_ends_its_statement_and_its_session(
    served: Served, admin: Connection, times: int
) -> None:
    async def sleep() -> None:
        async with served.connectors().connector("writer").session() as connection:
            await connection.execute(SLEEP.text)

    await cancelled(sleep(), admin, times)
    await until_backends(admin, 0)


async def cancelled(work: object, admin: Connection, times: int) -> None:
    """Cancel `work` once it sleeps on the server, and again and again."""
    task = asyncio.ensure_future(work)  # type: ignore[call-overload] # a coroutine
    await until_asleep(admin, 1)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


async def until_asleep(admin: Connection, wanted: int) -> None:
    async with asyncio.timeout(1):
        while (
            await admin.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                " AND datname = current_database()"
            )
            != wanted
        ):
            await asyncio.sleep(0.005)


@asynccontextmanager
async def ddl(served: Served) -> AsyncGenerator[AsyncConnection]:
    connector = served.connectors().connector("writer", is_ddl=True)
    async with ddl_connection(connector) as connection:
        await connection.execute(text("SET lock_timeout = '100ms'"))
        await connection.commit()
        yield connection


async def fault_of(served: Served, statement: str) -> DbopsError:
    with pytest.raises(DbopsError) as caught:
        async with ddl(served) as connection:
            await connection.execute(text(statement))
    return caught.value


async def test_ddl_translates_what_the_server_says(
    served: Served, admin: Connection
) -> None:
    await admin.execute("CREATE TABLE t ()")
    error = await fault_of(served, "CREATE TABLE t ()")
    assert (type(error), error.sqlstate) == (FailedError, "42P07")
    async with admin.transaction():
        await admin.execute("LOCK t")
        error = await fault_of(served, "DROP TABLE t")
    assert (type(error), error.sqlstate) == (LockedError, "55P03")
    error = await fault_of(served, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert (type(error), error.phase) == (UnreachableError, "query")


async def test_ddl_on_a_standby_is_refused(served: Served) -> None:
    connector = served.connectors().connector("reader", is_ddl=True)
    with pytest.raises(RefusedError) as caught:
        async with ddl_connection(connector) as connection:
            await connection.execute(text("CREATE TABLE t ()"))
    assert caught.value.sqlstate == "25006"


async def test_ddl_in_a_missing_database_is_refused(served: Served) -> None:
    connector = served.connectors().connector("writer", database="not_there")
    with pytest.raises(RefusedError, match="does not exist"):
        async with ddl_connection(connector):
            pass


async def fail_inside(served: Served, bug: Exception) -> None:
    async with ddl(served) as connection:
        await connection.execute(text("SELECT 1"))
        raise bug


@pytest.mark.parametrize("bug", [KeyError("x"), FileNotFoundError("y"), ValueError()])
async def test_a_bug_of_the_caller_is_not_translated(
    served: Served, admin: Connection, bug: Exception
) -> None:
    with pytest.raises(type(bug)):
        await fail_inside(served, bug)
    await until_backends(admin, 0)


async def test_an_argument_that_the_driver_refuses_is_a_bug_of_the_caller(
    served: Served,
) -> None:
    async def ask() -> None:
        async with served.connectors().connector("writer").session() as session:
            await session.fetchval("SELECT $1::int", "not a number")

    async def ask_by_sqlalchemy() -> None:
        async with ddl(served) as connection:
            await connection.execute(
                text("SELECT CAST(:x AS int)"), {"x": "not a number"}
            )

    with pytest.raises(asyncpg.DataError):
        await ask()
    with pytest.raises(DBAPIError):
        await ask_by_sqlalchemy()


async def test_a_bug_raised_while_handling_an_error_is_still_a_bug(
    served: Served,
) -> None:
    async def stumble() -> None:
        async with ddl(served) as connection:
            try:
                await connection.execute(text("SELECT no_such_column"))
            except DBAPIError:
                raise KeyError("x")  # noqa: B904 # its context must not count

    with pytest.raises(KeyError):
        await stumble()


async def test_autocommit_commits_each_statement(
    served: Served, admin: Connection
) -> None:
    async def fail_later() -> None:
        connector = served.connectors().connector("writer", is_ddl=True)
        async with ddl_connection(connector, autocommit=True) as connection:
            await connection.execute(text("CREATE TABLE kept ()"))
            await connection.execute(text("SELECT no_such_column"))

    with pytest.raises(FailedError):
        await fail_later()
    assert await admin.fetchval("SELECT to_regclass('kept') IS NOT NULL")
