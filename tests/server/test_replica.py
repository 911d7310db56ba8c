"""Waiting for a reader, on a real writer and standby that are made to lag."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, Connectors, connect
from dbops.errors import RefusedError, UnreachableError
from dbops.local.replay import delay_apply
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.replica import Followed, Version, until_replayed, until_visible
from dbops.results import Status
from dbops.settings import load_settings

PAUSE = "SELECT pg_catalog.pg_wal_replay_pause()"
RESUME = "SELECT pg_catalog.pg_wal_replay_resume()"
IS_PAUSED = "SELECT pg_catalog.pg_get_wal_replay_pause_state() = 'paused'"


@pytest.fixture(scope="module")
async def pair() -> AsyncGenerator[Pair]:
    """A pair of our own, because these tests break it."""
    async with throwaway() as pair:
        async with on(pair.writer) as writer:
            await writer.execute("CREATE TABLE written (n int)")
        await followed(pair)
        yield pair


@asynccontextmanager
async def on(endpoint: Endpoint) -> AsyncGenerator[Connection]:
    connection = await connect(endpoint)
    try:
        yield connection
    finally:
        await connection.close()


def between(writer: Endpoint, reader: Endpoint) -> Connectors:
    return Connectors(
        load_settings(
            flags={
                "database_url": writer.url(show_password=True),
                "database_reader_url": reader.url(show_password=True),
            }
        )
    )


async def followed(
    pair: Pair,
    *,
    writer: Endpoint | None = None,
    reader: Endpoint | None = None,
    limit_s: float = 30.0,
    **options: Any,  # noqa: ANN401 # of until_replayed
) -> Followed:
    connectors = between(writer or pair.writer, reader or pair.reader)
    return await until_replayed(
        connectors.connector("writer"),
        connectors.connector("reader"),
        limit_s=limit_s,
        **options,
    )


@asynccontextmanager
async def paused(pair: Pair) -> AsyncGenerator[Connection]:
    """Stop the replay for the block, unless it resumes it itself."""
    async with on(pair.reader) as standby:
        await standby.execute(PAUSE)
        async with asyncio.timeout(10):
            while not await standby.fetchval(IS_PAUSED):
                await asyncio.sleep(0.02)
        try:
            yield standby
        finally:
            await standby.execute(RESUME)


async def write(pair: Pair, *settings: str) -> int:
    """Commit one row; return how many there are."""
    async with on(pair.writer) as writer:
        for setting in settings:
            await writer.execute(f"SET {setting}")
        await writer.execute("INSERT INTO written VALUES (1)")
        return int(await writer.fetchval("SELECT count(*) FROM written"))


async def read(pair: Pair) -> int:
    async with on(pair.reader) as standby:
        return int(await standby.fetchval("SELECT count(*) FROM written"))


async def test_a_reader_that_keeps_up_has_what_was_written(pair: Pair) -> None:
    found, written = await followed(pair), 0
    for _ in range(20):
        written = await write(pair)
        found = await followed(pair)
        assert found.status is Status.OK
        assert await read(pair) == written
    assert found.reader == str(pair.reader.addresses[0])
    assert found.requires is None


async def test_the_wait_ends_only_after_the_row_is_on_the_reader(pair: Pair) -> None:
    before = await read(pair)
    async with paused(pair) as standby:
        written = await write(pair)
        told: list[int] = []
        waiting = asyncio.create_task(followed(pair, on_progress=told.append))
        async with asyncio.timeout(10):
            while len(told) < 2:
                await asyncio.sleep(0.02)
        assert not waiting.done()
        assert await read(pair) == before
        await standby.execute(RESUME)
        found = await waiting
        assert await read(pair) == written
    assert found.bytes_behind == told[0] > 0
    assert found.attempts > 2


async def test_a_paused_replay_is_named_when_time_is_over(pair: Pair) -> None:
    async with paused(pair):
        await write(pair)
        with pytest.raises(UnreachableError, match="its replay is paused") as raised:
            await followed(pair, limit_s=0.5)
    assert raised.value.retryable
    assert raised.value.hint is not None
    assert "pg_wal_replay_resume" in raised.value.hint


async def test_an_apply_delay_is_waited_for_and_named(pair: Pair) -> None:
    await followed(pair)
    async with on(pair.reader) as standby:
        await delay_apply(standby, 2.0)
        try:
            written = await write(pair)
            with pytest.raises(UnreachableError, match="2 s late"):
                await followed(pair, limit_s=0.5)
            assert await read(pair) == written - 1
            await followed(pair)
            assert await read(pair) == written
        finally:
            await delay_apply(standby, 0)


async def test_a_commit_that_did_not_wait_for_the_disk_is_waited_for(
    pair: Pair,
) -> None:
    # What is flushed at once does not include it: the position is taken too early.
    async with on(pair.writer) as writer:
        await writer.execute("ALTER SYSTEM SET wal_writer_delay = '1s'")
        await writer.execute("SELECT pg_catalog.pg_reload_conf()")
    try:
        for _ in range(5):
            written = await write(pair, "synchronous_commit = off")
            await followed(pair)
            assert await read(pair) == written
    finally:
        async with on(pair.writer) as writer:
            await writer.execute("ALTER SYSTEM RESET wal_writer_delay")
            await writer.execute("SELECT pg_catalog.pg_reload_conf()")


async def test_a_new_wal_file_on_an_idle_writer_is_not_waited_for(pair: Pair) -> None:
    # The position of the next insert lies beyond the file's header, which nobody sends
    # before the next write.
    async with on(pair.writer) as writer:
        await writer.execute("SELECT pg_catalog.pg_switch_wal()")
    assert (await followed(pair, limit_s=3)).status is Status.OK


async def test_the_wait_survives_a_lost_connection_to_the_reader(pair: Pair) -> None:
    async with paused(pair) as standby:
        written = await write(pair)
        told: list[int] = []
        waiting = asyncio.create_task(followed(pair, on_progress=told.append))
        async with asyncio.timeout(10):
            while not told:
                await asyncio.sleep(0.02)
        await standby.execute(
            "SELECT pg_catalog.pg_terminate_backend(pid)"
            "  FROM pg_catalog.pg_stat_activity WHERE application_name LIKE 'dbops/%'"
            "   AND pid <> pg_catalog.pg_backend_pid()"
        )
        await standby.execute(RESUME)
        assert (await waiting).status is Status.OK
    assert await read(pair) == written


async def test_a_database_that_is_on_its_way_to_the_reader_is_waited_for(
    pair: Pair,
) -> None:
    async with paused(pair) as standby:
        async with on(pair.writer) as writer:
            await writer.execute("CREATE DATABASE fresh TEMPLATE template0")
        fresh = [e.with_database("fresh") for e in (pair.writer, pair.reader)]
        waiting = asyncio.create_task(followed(pair, writer=fresh[0], reader=fresh[1]))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await standby.execute(RESUME)
        assert (await waiting).status is Status.OK


async def test_a_reader_that_is_the_writer_has_nothing_to_wait_for(pair: Pair) -> None:
    found = await followed(pair, reader=pair.writer)
    assert found.is_writer
    assert found.status is Status.WARN
    assert found.bytes_behind is None


async def test_a_standby_given_as_the_writer_is_refused(pair: Pair) -> None:
    with pytest.raises(RefusedError, match="is a standby"):
        await followed(pair, writer=pair.reader)


async def test_another_cluster_is_refused_at_once(pair: Pair) -> None:
    async with throwaway(template=False, standby=False) as stranger:
        with pytest.raises(RefusedError, match="another cluster"):
            await followed(pair, reader=stranger.writer)


async def test_a_reader_that_is_promoted_meanwhile_is_refused() -> None:
    async with throwaway() as pair:
        async with on(pair.writer) as writer:
            await writer.execute("CREATE TABLE written (n int)")
        await followed(pair)
        async with on(pair.reader) as standby:
            # Cut off, and not paused: a promotion first replays all that has arrived.
            await standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
            await standby.execute("SELECT pg_catalog.pg_reload_conf()")
            async with asyncio.timeout(10):
                while await standby.fetchval("SELECT pid FROM pg_stat_wal_receiver"):
                    await asyncio.sleep(0.02)
            await write(pair)
            waiting = asyncio.create_task(followed(pair))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await standby.execute("SELECT pg_catalog.pg_promote()")
        with pytest.raises(RefusedError, match="two primaries"):
            await waiting
        # And so it is from the other side, where the timeline is the newer one.
        with pytest.raises(RefusedError, match="two primaries"):
            await followed(pair, writer=pair.reader, reader=pair.writer)


async def test_a_reader_that_does_not_answer_is_unreachable(pair: Pair) -> None:
    gone = "postgresql://dbops@127.0.0.1:1/postgres"
    connectors = Connectors(
        load_settings(
            flags={
                "database_url": pair.writer.url(show_password=True),
                "database_reader_url": gone,
            }
        )
    )
    with pytest.raises(UnreachableError, match="the reader gave no answer within"):
        await until_replayed(
            connectors.connector("writer"), connectors.connector("reader"), limit_s=0.5
        )


async def test_a_role_without_privileges_can_wait(pair: Pair) -> None:
    async with on(pair.writer) as admin:
        await admin.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
    await followed(pair)
    places = {
        f"database_{name}url": f"postgresql://plain:plain@{endpoint.addresses[0]}"
        "/postgres?sslmode=disable"
        for name, endpoint in (("", pair.writer), ("reader_", pair.reader))
    }
    connectors = Connectors(load_settings(flags=places))
    found = await until_replayed(
        connectors.connector("writer"), connectors.connector("reader"), limit_s=30
    )
    assert found.status is Status.OK


@pytest.fixture
async def aurora(pair: Pair) -> AsyncGenerator[tuple[Endpoint, Endpoint]]:
    """A database that looks like Aurora, on both servers: it has its function."""
    async with on(pair.writer) as admin:
        await admin.execute("CREATE DATABASE aurora TEMPLATE template0")
    places = pair.writer.with_database("aurora"), pair.reader.with_database("aurora")
    async with on(places[0]) as writer:
        await writer.execute(
            "CREATE FUNCTION aurora_version() RETURNS text RETURN '17.4.1'"
        )
        await writer.execute("CREATE TABLE alembic_version (version_num text)")
        await writer.execute("INSERT INTO alembic_version VALUES ('a1')")
    await followed(pair)
    yield places
    async with on(pair.writer) as admin:
        await admin.execute("DROP DATABASE aurora WITH (FORCE)")


async def test_aurora_is_not_asked_for_a_position(
    pair: Pair, aurora: tuple[Endpoint, Endpoint]
) -> None:
    with pytest.raises(RefusedError, match="is Aurora") as raised:
        await followed(pair, writer=aurora[0], reader=aurora[1])
    assert raised.value.hint is not None
    assert "-c" in raised.value.hint


async def test_on_aurora_the_version_has_to_be_visible_on_the_reader(
    pair: Pair, aurora: tuple[Endpoint, Endpoint]
) -> None:
    async def version() -> Version:
        return Version(("b2",), "alembic_version", "public")

    async with paused(pair) as standby:
        async with on(aurora[0]) as writer:
            await writer.execute("UPDATE alembic_version SET version_num = 'b2'")
        with pytest.raises(UnreachableError, match=r"show b2 .* it shows a1"):
            await followed(
                pair, writer=aurora[0], reader=aurora[1], limit_s=0.5, version=version
            )
        waiting = asyncio.create_task(
            followed(pair, writer=aurora[0], reader=aurora[1], version=version)
        )
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await standby.execute(RESUME)
        found = await waiting
    assert found.bytes_behind is None
    async with on(aurora[1]) as reader:
        assert await reader.fetchval("SELECT version_num FROM alembic_version") == "b2"


async def test_a_version_table_that_is_on_its_way_is_waited_for(
    pair: Pair, aurora: tuple[Endpoint, Endpoint]
) -> None:
    reader = between(*aurora).connector("reader")
    async with paused(pair) as standby:
        async with on(aurora[0]) as writer:
            await writer.execute('CREATE SCHEMA "Odd ""name"')
            await writer.execute('CREATE TABLE "Odd ""name".v (version_num text)')
            await writer.execute("""INSERT INTO "Odd ""name".v VALUES ('x'), ('y')""")
        version = Version(("y", "x"), "v", 'Odd "name')
        waiting = asyncio.create_task(until_visible(reader, version, limit_s=30))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await standby.execute(RESUME)
        assert (await waiting).status is Status.OK


async def test_a_version_table_that_may_not_be_read_is_refused(
    pair: Pair, aurora: tuple[Endpoint, Endpoint]
) -> None:
    async with on(aurora[0]) as admin:
        await admin.execute("CREATE ROLE blind LOGIN PASSWORD 'blind'")
    await followed(pair)
    url = f"postgresql://blind:blind@{aurora[1].addresses[0]}/aurora?sslmode=disable"
    connectors = Connectors(
        load_settings(flags={"database_url": url, "database_reader_url": url})
    )
    with pytest.raises(RefusedError, match="denied permission"):
        await until_visible(
            connectors.connector("reader"), Version(("a1",)), limit_s=10
        )
