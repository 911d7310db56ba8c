"""The truth about a reader, case by case, on a real writer and standby."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from dbops.engine.connect import Connection, Connectors, connect
from dbops.errors import RefusedError, UnreachableError
from dbops.limits import Limit
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.lag import Cause, Freshness, Lag, Pipeline, lag
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import installed_postgresql

WARN_S, FAIL_S = 0.3, 0.8


@pytest.fixture(scope="module", params=["embedded", "installed"])
async def pair(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """A pair of our own, because these tests break it: 18, and the system's own."""
    pg_bin = installed_postgresql() if request.param == "installed" else None
    async with throwaway(pg_bin=pg_bin) as pair:
        yield pair


async def asked(pair: Pair, **options: bool) -> Lag:
    connectors = between(pair)
    return await lag(
        connectors.connector("writer"),
        connectors.connector("reader"),
        limits={"s": Limit(WARN_S, FAIL_S, "s")},
        **options,
    )


def between(
    pair: Pair, *, writer: str = "writer", reader: str = "reader"
) -> Connectors:
    return Connectors(
        load_settings(
            flags={
                "database_url": getattr(pair, writer).url(show_password=True),
                "database_reader_url": getattr(pair, reader).url(show_password=True),
            }
        )
    )


@asynccontextmanager
async def on(endpoint: object) -> AsyncGenerator[Connection]:
    connection = await connect(endpoint)  # type: ignore[arg-type] # an Endpoint
    try:
        yield connection
    finally:
        await connection.close()


async def write(pair: Pair) -> None:
    async with on(pair.writer) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS written (n int)")
        await connection.execute("INSERT INTO written VALUES (1)")


async def settled(pair: Pair) -> None:
    """Wait until the reader is fresh and streaming again."""
    async with asyncio.timeout(30):
        while True:
            found = await asked(pair)
            if found.status is Status.OK:
                return
            await asyncio.sleep(0.05)


async def configure_reader(pair: Pair, setting: str, value: str | None) -> None:
    async with on(pair.reader) as standby:
        change = f"SET {setting} = '{value}'" if value else f"RESET {setting}"
        await standby.execute(f"ALTER SYSTEM {change}")
        await standby.execute("SELECT pg_catalog.pg_reload_conf()")


async def test_a_healthy_reader_is_fresh_and_streaming(pair: Pair) -> None:
    await write(pair)
    found = await asked(pair)
    assert (found.status, found.freshness, found.pipeline, found.cause) == (
        Status.OK,
        Freshness.FRESH,
        Pipeline.STREAMING,
        None,
    )
    assert found.lag_low_s == 0
    assert found.lag_high_s is not None
    assert found.lag_high_s < WARN_S


async def test_an_idle_writer_is_not_lag(pair: Pair) -> None:
    await write(pair)
    await settled(pair)
    # The naive formula would say as many seconds as nothing was written.
    await asyncio.sleep(FAIL_S + 0.3)
    async with on(pair.reader) as standby:
        naive = await standby.fetchval(
            "SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8"
        )
    assert naive > FAIL_S
    assert (await asked(pair)).status is Status.OK


async def test_a_paused_reader_with_nothing_pending_is_fresh_and_paused(
    pair: Pair,
) -> None:
    await settled(pair)
    async with on(pair.reader) as standby:
        await standby.execute("SELECT pg_catalog.pg_wal_replay_pause()")
    try:
        found = await asked(pair)
        assert found.status is Status.WARN
        assert found.cause is Cause.REPLAY_PAUSED
        assert found.pipeline is Pipeline.PAUSED
    finally:
        async with on(pair.reader) as standby:
            await standby.execute("SELECT pg_catalog.pg_wal_replay_resume()")


async def test_a_paused_reader_with_changes_pending_fails(pair: Pair) -> None:
    await settled(pair)
    async with on(pair.reader) as standby:
        await standby.execute("SELECT pg_catalog.pg_wal_replay_pause()")
    try:
        await write(pair)
        found = await asked(pair)
        assert found.status is Status.FAIL
        assert found.freshness is Freshness.APPLY_BEHIND
        assert found.cause is Cause.REPLAY_PAUSED
        assert found.bytes_behind
        assert found.lag_low_s == FAIL_S
        assert found.lag_high_s is None or found.lag_high_s >= FAIL_S
    finally:
        async with on(pair.reader) as standby:
            await standby.execute("SELECT pg_catalog.pg_wal_replay_resume()")


async def test_an_apply_delay_is_named(pair: Pair) -> None:
    await settled(pair)
    await configure_reader(pair, "recovery_min_apply_delay", "3s")
    try:
        await write(pair)
        found = await asked(pair)
        assert found.status is Status.FAIL
        assert found.cause is Cause.APPLY_DELAY
    finally:
        await configure_reader(pair, "recovery_min_apply_delay", None)


async def test_a_short_delay_is_a_warning(pair: Pair) -> None:
    await settled(pair)
    await configure_reader(pair, "recovery_min_apply_delay", "500ms")
    try:
        await write(pair)
        found = await asked(pair)
        assert found.status is Status.WARN
        assert found.lag_high_s is not None
        assert WARN_S <= found.lag_high_s < FAIL_S
    finally:
        await configure_reader(pair, "recovery_min_apply_delay", None)


async def test_a_reader_that_is_cut_off_is_told_from_an_idle_one(pair: Pair) -> None:
    await settled(pair)
    async with on(pair.reader) as standby:
        old = await standby.fetchval("SHOW primary_conninfo")
        await configure_reader(pair, "primary_conninfo", "host=127.0.0.1 port=1")
    try:
        async with asyncio.timeout(20):
            while (await asked(pair)).pipeline is not Pipeline.NO_RECEIVER:
                await asyncio.sleep(0.05)
        idle = await asked(pair)
        assert (idle.status, idle.freshness) == (Status.FAIL, Freshness.FRESH)
        assert idle.cause is Cause.RECEIVER_DOWN
        await write(pair)
        behind = await asked(pair)
        assert behind.freshness is Freshness.TRANSPORT_BEHIND
        assert behind.cause is Cause.RECEIVER_DOWN
    finally:
        quoted = old.replace("'", "''")
        await configure_reader(pair, "primary_conninfo", quoted)
    await settled(pair)


async def test_a_reader_that_is_the_writer_is_a_warning_and_no_number(
    pair: Pair,
) -> None:
    connectors = between(pair, reader="writer")
    writer, reader = connectors.connector("writer"), connectors.connector("reader")
    found = await lag(writer, reader)
    assert (found.status, found.cause) == (Status.WARN, Cause.READER_IS_WRITER)
    assert (found.lag_low_s, found.lag_high_s, found.bytes_behind) == (None, None, None)
    required = await lag(writer, reader, require_replica=True)
    assert required.status is Status.FAIL


async def test_a_standby_given_as_the_writer_is_refused(pair: Pair) -> None:
    connectors = between(pair, writer="reader")
    with pytest.raises(RefusedError, match="standby"):
        await lag(connectors.connector("writer"), connectors.connector("reader"))


async def test_a_role_without_privileges_is_told_what_would_let_it_know(
    pair: Pair,
) -> None:
    await settled(pair)
    async with on(pair.writer) as admin:
        await admin.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
    await settled(pair)
    place = {
        name: f"postgresql://plain:plain@{getattr(pair, role).addresses[0]}/postgres"
        "?sslmode=disable"
        for name, role in (
            ("database_url", "writer"),
            ("database_reader_url", "reader"),
        )
    }
    connectors = Connectors(load_settings(flags=place))
    found = await lag(connectors.connector("writer"), connectors.connector("reader"))
    assert found.freshness is Freshness.FRESH
    assert found.pipeline is Pipeline.UNKNOWN
    assert found.requires is not None
    assert found.status is Status.WARN


async def test_another_cluster_is_told_before_any_position_is_compared(
    pair: Pair,
) -> None:
    async with throwaway(template=False, standby=False) as stranger:
        connectors = Connectors(
            load_settings(
                flags={
                    "database_url": pair.writer.url(show_password=True),
                    "database_reader_url": stranger.writer.url(show_password=True),
                }
            )
        )
        found = await lag(
            connectors.connector("writer"), connectors.connector("reader")
        )
    assert (found.status, found.cause) == (Status.FAIL, Cause.WRONG_CLUSTER)


async def test_a_promoted_reader_is_a_split_brain() -> None:
    async with throwaway() as pair:
        async with on(pair.reader) as standby:
            await standby.execute("SELECT pg_catalog.pg_promote()")
        found = await asked(pair)
        assert (found.status, found.cause) == (Status.FAIL, Cause.SPLIT_BRAIN)


async def test_a_reader_that_does_not_answer_makes_lag_unknown(pair: Pair) -> None:
    connectors = Connectors(
        load_settings(
            flags={
                "database_url": pair.writer.url(show_password=True),
                "database_reader_url": "postgresql://dbops@127.0.0.1:1/postgres",
            }
        )
    )
    found = await lag(connectors.connector("writer"), connectors.connector("reader"))
    assert (found.status, found.cause) == (Status.UNKNOWN, Cause.READER_UNREACHABLE)
    assert found.lag_low_s is None
    assert found.problem is not None
    assert found.outcome == UnreachableError.outcome
