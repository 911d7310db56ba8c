"""What an application's sessions promise, on a real writer and standby."""

import asyncio
import gc
import logging
import math
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from dbops.engine.connect import Connection, connect
from dbops.engine.database import Database
from dbops.engine.sessions.token import Token
from dbops.errors import (
    ConfigError,
    ReadOnlyError,
    RefusedError,
    StaleReaderError,
    TransactionAbortedError,
    UnreachableError,
    UsageError,
)
from tests.conftest import Served, both_drivers, until_table

ADD = text("INSERT INTO t VALUES (:n)")
COUNT = text("SELECT count(*) FROM t")
WHERE = text("SELECT pg_catalog.inet_server_port()")

pytestmark = both_drivers


@pytest.fixture
async def table(served: Served) -> AsyncGenerator[Connection]:
    """A table of unique numbers, on both servers."""
    admin = await connect(served.writer, application_name="admin")
    await admin.execute("CREATE TABLE t (n int PRIMARY KEY)")
    await until_table(served.reader, "t")
    yield admin
    await admin.close()


@pytest.fixture
async def database(served: Served, table: Connection) -> AsyncGenerator[Database]:
    async with Database(
        served.settings(pool_size=2, max_overflow=0, pool_timeout="2s")
    ) as made:
        yield made


async def in_use(database: Database) -> int:
    """Count the connections that the pools have given out."""
    await asyncio.sleep(0)
    return sum(
        database.engine(role).pool.checkedout()  # type: ignore[attr-defined]
        for role in ("writer", "reader")
    )


async def add(session: AsyncSession, n: int) -> None:
    await session.execute(ADD, {"n": n})


async def test_the_writer_writes_and_the_reader_reads_elsewhere(
    database: Database, served: Served
) -> None:
    async with database.context() as context:
        ports = [await it.scalar(WHERE) for it in (context.writer, context.reader)]
    assert ports == [it.addresses[0].port for it in (served.writer, served.reader)]


async def test_a_context_commits_when_its_block_ends_well(
    database: Database, table: Connection
) -> None:
    async with database.context() as context:
        await add(context.writer, 1)
    assert await table.fetchval("SELECT count(*) FROM t") == 1
    assert await in_use(database) == 0


async def test_a_context_rolls_back_and_raises_what_its_block_raised(
    database: Database, table: Connection
) -> None:
    async def work() -> None:
        async with database.context() as context:
            await add(context.writer, 1)
            raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        await work()
    assert await table.fetchval("SELECT count(*) FROM t") == 0
    assert await in_use(database) == 0


async def test_what_is_committed_after_entering_is_never_seen(
    served: Served, table: Connection
) -> None:
    # Both on the writer: there the row arrives without a delay that could hide it.
    settings = served.settings(database_reader_url=served.environment["DATABASE_URL"])
    async with Database(settings) as database, database.context() as context:
        await table.execute("INSERT INTO t VALUES (1)")
        assert await context.reader.scalar(COUNT) == 0
        assert await context.writer.scalar(COUNT) == 1


async def test_an_untouched_writer_takes_no_connection(
    database: Database, table: Connection
) -> None:
    async with database.context() as context:
        await context.reader.scalar(COUNT)
        assert database.engine("writer").pool.checkedout() == 0  # type: ignore[attr-defined]
    backends = await table.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND application_name <> 'admin'"
    )
    assert backends == 0


async def test_a_write_through_the_contexts_reader_is_a_typed_error(
    database: Database,
) -> None:
    with pytest.raises(ReadOnlyError) as caught:
        async with database.context() as context:
            await add(context.reader, 1)
    assert caught.value.hint == "write through the writer's session"
    assert await in_use(database) == 0


async def test_a_commit_after_a_swallowed_error_raises(
    database: Database, table: Connection
) -> None:
    async def work() -> None:
        async with database.context() as context:
            await add(context.writer, 1)
            with suppress(IntegrityError):
                await add(context.writer, 1)

    with pytest.raises(TransactionAbortedError, match="COMMIT rolled it back"):
        await work()
    assert await table.fetchval("SELECT count(*) FROM t") == 0
    assert await in_use(database) == 0
    async with database.context() as context:
        await add(context.writer, 1)
    assert await table.fetchval("SELECT count(*) FROM t") == 1


async def test_an_error_inside_a_savepoint_leaves_the_rest_to_be_committed(
    database: Database, table: Connection
) -> None:
    async with database.context() as context:
        await add(context.writer, 1)
        with pytest.raises(IntegrityError):
            async with context.writer.begin_nested():
                await add(context.writer, 1)
        await add(context.writer, 2)
    assert await table.fetchval("SELECT array_agg(n ORDER BY n) FROM t") == [1, 2]


async def test_a_constraint_that_fails_at_commit_is_its_own_error(
    database: Database, table: Connection
) -> None:
    await table.execute(
        "ALTER TABLE t ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED;"
        "ALTER TABLE t DROP CONSTRAINT t_pkey"
    )

    async def work() -> None:
        async with database.context() as context:
            await add(context.writer, 1)
            await add(context.writer, 1)

    with pytest.raises(IntegrityError):
        await work()
    assert await in_use(database) == 0
    assert await table.fetchval("SELECT count(*) FROM t") == 0


async def test_a_cancelled_task_returns_both_connections(
    database: Database, table: Connection
) -> None:
    is_inside = asyncio.Event()

    async def work() -> None:
        async with database.context() as context:
            await add(context.writer, 1)
            is_inside.set()
            await context.writer.execute(text("SELECT pg_sleep(30)"))

    for _ in range(3):
        is_inside.clear()
        task = asyncio.create_task(work())
        await is_inside.wait()
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await in_use(database) == 0
    assert await table.fetchval("SELECT count(*) FROM t") == 0
    active = await table.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle'"
        " AND datname = current_database() AND application_name <> 'admin'"
    )
    assert active == 0


async def test_a_dead_connection_does_not_hide_what_the_application_raised(
    database: Database, table: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    async def work() -> None:
        async with database.context() as context:
            await add(context.writer, 1)
            await context.reader.scalar(COUNT)
            await end_all(table)
            raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        await work()
    assert await in_use(database) == 0
    async with database.context() as context:
        await add(context.writer, 1)


async def end_all(admin: Connection) -> None:
    """End every session on the writer but the admin's, and wait until they are gone."""
    await admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name <> 'admin'"
    )


async def test_a_connection_that_died_a_moment_ago_is_replaced_unseen(
    database: Database, table: Connection
) -> None:
    for n in range(5):
        async with database.writer() as session:
            await add(session, n)
            await session.commit()
        # Its last use is too fresh for it to be asked whether it lives.
        await end_all(table)
    assert await table.fetchval("SELECT count(*) FROM t") == 5


async def test_many_statements_at_once_reach_a_replaced_connection(
    database: Database, table: Connection
) -> None:
    async with database.writer() as session:
        await add(session, 0)
        await session.commit()
    await end_all(table)
    async with database.writer() as session:
        await session.execute(ADD, [{"n": n} for n in range(1, 4)])
        await session.commit()
    assert await table.fetchval("SELECT count(*) FROM t") == 4


async def test_a_connection_that_dies_before_its_first_word_is_replaced(
    database: Database, table: Connection
) -> None:
    for rows in ([{"n": 0}], [{"n": 1}, {"n": 2}]):
        async with database.writer() as session:
            await session.execute(COUNT)
        async with database.engine("writer").connect() as connection:
            # It was fit when it was taken.
            await end_all(table)
            await connection.execute(ADD, rows)
            await connection.commit()
    assert await table.fetchval("SELECT count(*) FROM t") == 3


async def test_rows_are_streamed_also_over_a_replaced_connection(
    database: Database, table: Connection
) -> None:
    for _ in range(2):
        async with database.writer() as session:
            rows = await session.stream_scalars(text("SELECT generate_series(1, 5000)"))
            assert [row async for row in rows] == list(range(1, 5001))
        await end_all(table)


async def test_another_event_loop_is_refused(database: Database) -> None:
    async with database.writer() as session:
        await session.execute(COUNT)

    async def use() -> None:
        async with database.writer():
            pass

    with pytest.raises(UsageError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, use())


async def test_a_forked_process_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with database.writer() as session:
        await session.execute(COUNT)
    here = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: here + 1)
    with pytest.raises(UsageError, match="another process"):
        async with database.writer():
            pass


async def test_who_waits_longest_for_a_connection_is_served_first(
    database: Database,
) -> None:
    served: list[int] = []
    is_waiting = asyncio.Event()

    async def greedy() -> None:
        """Take a connection again as soon as it is returned."""
        for _ in range(3):
            async with database.writer() as session:
                await session.execute(COUNT)
                served.append(0)
                await is_waiting.wait()

    async def patient(number: int) -> None:
        async with database.writer() as session:
            await session.execute(COUNT)
            served.append(number)

    hogs = [asyncio.create_task(greedy()) for _ in range(2)]
    while served != [0, 0]:
        await asyncio.sleep(0.01)
    others = []
    for number in (1, 2, 3, 4):
        others.append(asyncio.create_task(patient(number)))
        async with asyncio.timeout(10):
            while database.pool("writer").waiting < number:
                await asyncio.sleep(0.005)
    is_waiting.set()
    await asyncio.gather(*hogs, *others)
    # The first two were held; then those who waited, before the greedy ones again. Two
    # connections serve side by side, so the last may be overtaken by one.
    assert {1, 2, 3, 4} <= set(served[2:7])


async def test_nobody_gets_the_place_of_one_who_gave_up(database: Database) -> None:
    async def use() -> None:
        async with database.writer() as session:
            await session.execute(text("SELECT pg_sleep(0.02)"))

    for _ in range(20):
        tasks = [asyncio.create_task(use()) for _ in range(6)]
        await asyncio.sleep(0.005)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    gc.collect()
    assert await in_use(database) == 0
    await asyncio.gather(*(use() for _ in range(6)))


@asynccontextmanager
async def held_back(served: Served) -> AsyncGenerator[None]:
    """Let the standby replay nothing for the block."""
    standby = await connect(served.reader)
    await standby.execute("SELECT pg_catalog.pg_wal_replay_pause()")
    try:
        yield
    finally:
        await standby.execute("SELECT pg_catalog.pg_wal_replay_resume()")
        await standby.close()


async def test_a_reader_after_a_token_sees_what_was_written(
    database: Database,
) -> None:
    for n in range(20):
        async with database.context() as context:
            await add(context.writer, n)
        token = await database.token()
        async with database.reader(after=token, wait="10s") as session:
            assert await session.scalar(COUNT) == n + 1
            assert await session.scalar(text("SELECT pg_is_in_recovery()"))


async def test_a_commit_that_does_not_wait_for_the_disk_counts_too(
    database: Database,
) -> None:
    for n in range(5):
        async with database.writer() as session:
            await session.execute(text("SET LOCAL synchronous_commit = off"))
            await add(session, n)
            await session.commit()
        token = await database.token()
        async with database.reader(after=token, wait="10s") as session:
            assert await session.scalar(COUNT) == n + 1


async def test_the_writer_stands_in_for_a_reader_that_is_late(
    database: Database, served: Served
) -> None:
    async with held_back(served):
        async with database.writer() as session:
            await add(session, 1)
            await session.commit()
        token = await database.token()
        async with database.reader(after=token, wait="50ms") as session:
            assert await session.scalar(COUNT) == 1
            assert not await session.scalar(text("SELECT pg_is_in_recovery()"))
            with pytest.raises(ReadOnlyError):
                await add(session, 2)
        with pytest.raises(StaleReaderError, match=r"within 0\.05 s"):
            async with database.reader(after=token, wait=0.05, otherwise="error"):
                pass
        assert await in_use(database) == 0


async def test_a_token_can_be_taken_along_as_text(database: Database) -> None:
    token = await database.token()
    assert token.position is not None
    assert Token.parse(str(token)) == token
    assert Token.parse("") == Token(None)
    for wrong in ("16", "x/y", "1/2/3", "123456789/0", "-1/0", "'; DROP TABLE t"):
        with pytest.raises(ValueError, match=r"invalid literal|32 bits"):
            Token.parse(wrong)


async def test_a_position_that_nobody_knows_is_not_reached(database: Database) -> None:
    with pytest.raises(StaleReaderError):
        async with database.reader(after=Token(None), otherwise="error"):
            pass


async def test_a_reader_that_writes_itself_has_only_what_it_has_written(
    served: Served, table: Connection
) -> None:
    settings = served.settings(database_reader_url=served.environment["DATABASE_URL"])
    async with Database(settings) as database:
        async with database.context() as context:
            await add(context.writer, 1)
        token = await database.token()
        async with database.reader(after=token, otherwise="error") as session:
            assert await session.scalar(COUNT) == 1
        # As after a promotion that has lost the last writes.
        lost = Token("FFFFFFFF/0")
        with pytest.raises(StaleReaderError):
            async with database.reader(after=lost, wait=0.05, otherwise="error"):
                pass


async def test_a_statement_by_itself_cannot_write_through_the_reader(
    served: Served, table: Connection
) -> None:
    settings = served.settings(database_reader_url=served.environment["DATABASE_URL"])
    async with Database(settings) as database:
        async with database.reader(autocommit=True) as session:
            assert await session.scalar(COUNT) == 0
            await table.execute("INSERT INTO t VALUES (1)")
            # Each statement has a snapshot of its own.
            assert await session.scalar(COUNT) == 1
            with pytest.raises(ReadOnlyError):
                await add(session, 2)
        # The mode goes with the session.
        async with database.reader() as session:
            assert await session.scalar(COUNT) == 1
            await table.execute("INSERT INTO t VALUES (3)")
            assert await session.scalar(COUNT) == 1


@pytest.fixture
async def of_one(served: Served, table: Connection) -> AsyncGenerator[Database]:
    """Writer and reader are one server, with one connection each."""
    settings = served.settings(
        database_reader_url=served.environment["DATABASE_URL"],
        pool_size=1,
        max_overflow=0,
        pool_timeout="2s",
    )
    async with Database(settings) as made:
        yield made


async def test_a_snapshot_is_taken_also_after_one_who_read_statement_by_statement(
    of_one: Database, table: Connection
) -> None:
    async with of_one.reader(autocommit=True) as session:
        await session.execute(COUNT)
    async with of_one.context() as context:
        await table.execute("INSERT INTO t VALUES (1)")
        assert await context.reader.scalar(COUNT) == 0
    async with of_one.reader(autocommit=True) as session:
        await session.execute(COUNT)

    def counted(session: Session) -> object:
        cursor = session.connection().connection.cursor()
        cursor.execute("SELECT count(*) FROM t")
        return cursor.fetchall()[0][0]

    async with of_one.reader() as session:
        assert await session.run_sync(counted) == 1
        await table.execute("INSERT INTO t VALUES (2)")
        assert await session.run_sync(counted) == 1


@pytest.mark.parametrize(
    "wish",
    [
        {"postgresql_readonly": True},
        {"postgresql_readonly": False},
        {"isolation_level": "READ COMMITTED"},
        {"isolation_level": "AUTOCOMMIT"},
    ],
)
async def test_whatever_a_session_wishes_the_reader_stays_one(
    of_one: Database, wish: dict[str, object]
) -> None:
    async with of_one.reader() as session:
        await session.connection(execution_options=wish)
        with pytest.raises(ReadOnlyError):
            await add(session, 1)
    async with of_one.reader() as session:
        assert await session.scalar(text("SHOW transaction_read_only")) == "on"
        assert await session.scalar(text("SHOW transaction_isolation")) == (
            "repeatable read"
        )


async def test_no_wish_of_a_session_lets_it_write_where_the_writer_stands_in(
    database: Database, table: Connection
) -> None:
    for wish in ("AUTOCOMMIT", "READ COMMITTED"):
        async with database.reader(after=Token(None)) as session:
            await session.connection(execution_options={"isolation_level": wish})
            with pytest.raises((ReadOnlyError, RefusedError)):
                await add(session, 1)
    async with database.writer() as session:
        await add(session, 2)
        await session.commit()
    assert await table.fetchval("SELECT array_agg(n) FROM t") == [2]


async def test_a_writer_that_read_in_the_readers_stead_begins_as_before(
    served: Served, table: Connection
) -> None:
    """Also where the server makes everybody read only, as some do on a full disk."""
    await table.execute(
        f'ALTER DATABASE "{served.name}" SET default_transaction_read_only = on'
    )
    async with Database(served.settings(pool_size=1, max_overflow=0)) as database:
        async with database.reader(after=Token(None), wait=0.0) as session:
            assert await session.scalar(text("SHOW transaction_read_only")) == "on"
        async with database.writer() as session:
            assert await session.scalar(text("SHOW transaction_read_only")) == "on"


async def test_a_transaction_begun_by_hand_does_not_outlive_its_session(
    of_one: Database, table: Connection
) -> None:
    async with of_one.reader(autocommit=True) as session:
        await session.execute(text("BEGIN"))
        with pytest.raises(ReadOnlyError):
            await add(session, 1)
    async with of_one.reader() as session:
        assert await session.scalar(COUNT) == 0


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("is_warm", [False, True])
async def test_a_task_that_outlives_its_session_keeps_no_connection(
    of_one: Database, *, alone: bool, is_warm: bool
) -> None:
    tasks: list[asyncio.Task[object]] = []

    async def leave() -> None:
        async with of_one.reader(autocommit=alone) as session:
            if is_warm:
                await session.execute(COUNT)
            sleep = session.execute(text("SELECT pg_sleep(1)"))
            tasks.append(asyncio.create_task(sleep))
            await asyncio.sleep(0.02)
            raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        await leave()
    assert await in_use(of_one) == 0
    async with of_one.context() as context:
        assert await context.reader.scalar(COUNT) == 0
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_reader_that_is_not_configured_can_be_the_writer(
    served: Served,
) -> None:
    async with Database(served.settings(database_reader_url=None)) as database:
        for opened in (database.reader(), database.context()):
            with pytest.raises(ConfigError, match="no reader is configured") as caught:
                async with opened:
                    pass
            assert caught.value.hint is not None
            assert "the same as DATABASE_URL" in caught.value.hint


async def test_a_wish_that_makes_no_sense_is_a_usage_error(
    database: Database,
) -> None:
    waits: list[Any] = ["200", "soon", -1, -0.1, math.nan, math.inf, 1 << 2000, None]
    wishes: list[dict[str, Any]] = [{"wait": it} for it in waits]
    for wish in [*wishes, {"otherwise": "nobody"}]:
        with pytest.raises(UsageError) as caught:
            async with database.reader(**wish):
                pass
        assert caught.value.hint


async def test_time_to_wait_has_a_unit_or_is_in_seconds(
    database: Database,
) -> None:
    token = await database.token()
    for wait in (0, 1, 0.5, "50ms"):
        async with database.reader(after=token, wait=wait) as session:
            assert await session.scalar(COUNT) == 0


async def test_a_context_tells_the_position_of_what_it_has_committed(
    database: Database,
) -> None:
    async with database.context() as context:
        await add(context.writer, 1)
        with pytest.raises(UsageError, match="not committed yet"):
            await context.token()
        await context.writer.commit()
        early = await context.token()
        await add(context.writer, 2)
    late = await context.token()
    for token, count in ((early, 1), (late, 2)):
        async with database.reader(after=token, wait="10s") as session:
            assert await session.scalar(COUNT) >= count


async def test_nobody_waits_for_a_position_that_nobody_knows(
    database: Database,
) -> None:
    async with (
        asyncio.timeout(10),
        database.reader(after=Token(None), wait="1h") as session,
    ):
        assert not await session.scalar(text("SELECT pg_is_in_recovery()"))
    with pytest.raises(StaleReaderError, match="nobody knows"):
        async with database.reader(after=Token(None), otherwise="error"):
            pass


async def test_the_writer_stands_in_for_a_reader_that_has_another_role_now(
    served: Served, table: Connection
) -> None:
    promoted = f"{served.environment['DATABASE_URL']}&target_session_attrs=standby"
    async with Database(served.settings(database_reader_url=promoted)) as database:
        token = await database.token()
        async with database.reader(after=token) as session:
            assert await session.scalar(COUNT) == 0
        with pytest.raises(RefusedError, match="no host of the reader is standby"):
            async with database.reader(after=token, otherwise="error"):
                pass


async def test_warming_up_in_vain_leaves_nothing_behind(
    served: Served, table: Connection
) -> None:
    settings = served.settings(
        database_reader_url="postgresql://nobody@127.0.0.1:1/none?sslmode=disable"
    )
    async with Database(settings) as database:
        with pytest.raises(UnreachableError):
            await database.warm()
        assert await in_use(database) == 0


FORKS = """
import asyncio, os
from dbops import Database, load_settings
from sqlalchemy import text

database = Database(load_settings())
loop = asyncio.new_event_loop()

async def backend():
    async with database.writer() as session:
        return await session.scalar(text("SELECT pg_backend_pid()"))

before = loop.run_until_complete(backend())
child = os.fork()
if not child:
    asyncio.run(database.dispose())
    assert asyncio.run(backend()) != before
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert loop.run_until_complete(backend()) == before
loop.run_until_complete(database.dispose())
"""


async def test_a_forked_process_disposes_of_nothing_that_is_its_parents(
    served: Served,
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        FORKS,
        env={**os.environ, **served.environment},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


async def test_what_is_in_use_while_all_is_closed_goes_on_and_is_closed_then(
    database: Database, table: Connection
) -> None:
    async with database.context() as context:
        await add(context.writer, 1)
        await database.dispose()
        assert await context.reader.scalar(COUNT) == 0
    assert await table.fetchval("SELECT count(*) FROM t") == 1
    async with asyncio.timeout(5):
        while await table.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND application_name <> 'admin'"
        ):
            await asyncio.sleep(0.02)


async def test_who_waits_while_all_is_closed_is_served_in_turn(
    of_one: Database,
) -> None:
    async def use() -> None:
        async with of_one.writer() as session:
            await session.execute(COUNT)

    async with of_one.writer() as session:
        await session.execute(COUNT)
        waiting = [asyncio.create_task(use()) for _ in range(3)]
        async with asyncio.timeout(10):
            while of_one.pool("writer").waiting < len(waiting):
                await asyncio.sleep(0.005)
        await of_one.dispose()
    await asyncio.gather(*waiting)


async def test_all_connections_are_opened_at_once(database: Database) -> None:
    await database.warm()
    kept = [database.engine(role).pool.checkedin() for role in ("writer", "reader")]  # type: ignore[attr-defined]
    assert kept == [2, 2]
