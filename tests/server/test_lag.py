"""The truth about a reader, case by case, on a real writer and standby."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connectors
from dbops.engine.read_only import ReadOnly
from dbops.errors import Outcome, UnreachableError
from dbops.limits import Limit, Unit
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.lag import Cause, Freshness, Lag, Pipeline, Terms, lag
from dbops.operations.lag import between as compared
from dbops.operations.replica.questions import ON_READER
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import installed_postgresql
from tests.server.standbys import (
    Book,
    ask,
    between,
    configured,
    cut_off,
    on,
    paused,
    restart,
    stalled,
    until,
)

WARN_S, FAIL_S = 0.3, 0.8
LIMITS: dict[Unit, Limit] = {
    "s": Limit(WARN_S, FAIL_S, "s"),
    "B": Limit(None, None, "B"),
}
# Where a good answer is expected, of a machine that has other things to do too.
CALM: dict[Unit, Limit] = {"s": Limit(2, 5, "s"), "B": Limit(None, None, "B")}
NAIVE = "SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8"


@pytest.fixture(scope="module", params=["embedded", "installed"])
async def pair(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """A pair of our own, because these tests break it: 18, and the system's own.

    Only the first keeps the time of each commit.
    """
    is_installed = request.param == "installed"
    dates = {"track_commit_timestamp": "off"} if is_installed else {}
    async with throwaway(pg_bin=_pg_bin(request.param), settings=dates) as pair:
        yield pair


def _pg_bin(name: str) -> Path | None:
    return installed_postgresql() if name == "installed" else None


@pytest.fixture(scope="module")
async def book(pair: Pair) -> Book:
    book = Book(pair)
    await book.open()
    return book


async def asked(
    pair: Pair,
    limits: dict[Unit, Limit] = LIMITS,
    *,
    probe: bool = False,
    limit_s: float | None = None,
) -> Lag:
    connectors = between(pair.writer, pair.reader)
    if limit_s is None:
        return await lag(
            connectors.connector("writer"),
            connectors.connector("reader"),
            limits=limits,
            probe=probe,
        )
    async with (
        connectors.connector("writer").dialled() as writer,
        connectors.connector("reader").dialled() as reader,
    ):
        terms = Terms(limits, limit_s=limit_s)
        return await compared(ReadOnly(writer), ReadOnly(reader), terms)


def verdict(found: Lag) -> tuple[Status, Freshness, Pipeline, Cause | None]:
    return found.status, found.freshness, found.pipeline, found.cause


@pytest.fixture
async def settled(pair: Pair, book: Book) -> None:
    """Wait until the reader is fresh and streaming."""
    async with asyncio.timeout(30):
        while (await asked(pair, CALM)).status is not Status.OK:
            await asyncio.sleep(0.05)


def keeps_dates(pair: Pair) -> bool:
    return not pair.server_version.startswith("15")


async def test_a_busy_healthy_reader_is_fresh_and_streaming(
    pair: Pair, book: Book, settled: None
) -> None:
    async with on(pair.writer) as writer:
        asking = asyncio.create_task(asked(pair, CALM))
        while not asking.done():
            await book.write_on(writer)
            await asyncio.sleep(0.01)
        found = await asking
    assert verdict(found) == (
        Status.OK,
        Freshness.FRESH,
        Pipeline.STREAMING,
        None,
    )
    assert found.lag_low_s == 0
    assert found.lag_high_s is not None
    assert 0 < found.lag_high_s < 2
    assert found.reader.instance == str(pair.reader.addresses[0])


async def test_an_idle_writer_is_not_lag(pair: Pair, book: Book, settled: None) -> None:
    await book.write()
    # The naive formula says as many seconds as nothing was written.
    await until(pair.reader, f"SELECT ({NAIVE}) > {FAIL_S}")
    assert (await asked(pair, CALM)).status is Status.OK


async def test_a_new_file_on_an_idle_writer_is_not_waited_for(
    pair: Pair, book: Book, settled: None
) -> None:
    await book.write()
    await ask(pair.writer, "SELECT pg_catalog.pg_switch_wal()::text")
    found = await asked(pair, CALM)
    assert (found.status, found.bytes_behind) == (Status.OK, 0)


async def test_a_paused_reader_with_nothing_pending_is_fresh_and_paused(
    pair: Pair, settled: None
) -> None:
    async with paused(pair.reader):
        found = await asked(pair, CALM)
    assert verdict(found) == (
        Status.WARN,
        Freshness.FRESH,
        Pipeline.PAUSED,
        Cause.REPLAY_PAUSED,
    )
    assert (found.freshness_status, found.pipeline_status) == (Status.OK, Status.WARN)


async def test_a_reader_that_lacks_no_commit_is_fresh_although_it_lacks_wal(
    pair: Pair, book: Book, settled: None
) -> None:
    async with paused(pair.reader):
        await ask(pair.writer, "CHECKPOINT")
        found = await asked(pair, CALM)
        assert await book.holds(found)
    assert found.freshness is Freshness.FRESH
    assert found.status is Status.WARN


async def test_a_paused_reader_with_changes_pending_fails(
    pair: Pair, book: Book, settled: None
) -> None:
    async with paused(pair.reader):
        await book.write()
        found = await asked(pair)
        assert await book.holds(found)
    assert verdict(found) == (
        Status.FAIL,
        Freshness.APPLY_BEHIND,
        Pipeline.PAUSED,
        Cause.REPLAY_PAUSED,
    )
    assert found.bytes_behind
    assert found.lag_low_s is not None
    assert found.lag_low_s >= FAIL_S
    assert found.remedy is not None
    assert "pg_wal_replay_resume" in found.remedy


async def test_a_late_commit_of_an_early_transaction_is_not_overlooked(
    pair: Pair, book: Book, settled: None
) -> None:
    # A standby's snapshot does not list it, although it is older than its end.
    await ask(pair.writer, "CREATE TABLE IF NOT EXISTS early (n int)")
    async with on(pair.writer) as writer:
        await writer.execute("BEGIN")
        await writer.execute("INSERT INTO early VALUES (1)")
        await book.write()
        shown = f"SELECT max(n) = {len(book.rows)} FROM book"  # noqa: S608 # a number
        await until(pair.reader, shown)
        async with paused(pair.reader):
            await writer.execute("COMMIT")
            found = await asked(pair)
    assert (found.status, found.freshness) == (Status.FAIL, Freshness.APPLY_BEHIND)


async def test_an_apply_delay_is_named(pair: Pair, book: Book, settled: None) -> None:
    async with configured(pair.reader, "recovery_min_apply_delay", "3s"):
        await book.write()
        found = await asked(pair)
        assert await book.holds(found)
    assert (found.status, found.cause) == (Status.FAIL, Cause.APPLY_DELAY)
    assert found.freshness is Freshness.APPLY_BEHIND


async def test_a_delay_with_nothing_pending_is_fresh_and_delayed(
    pair: Pair, settled: None
) -> None:
    async with configured(pair.reader, "recovery_min_apply_delay", "3s"):
        found = await asked(pair, CALM)
    assert verdict(found) == (
        Status.WARN,
        Freshness.FRESH,
        Pipeline.DELAYED,
        Cause.APPLY_DELAY,
    )


async def test_a_short_delay_is_a_warning(
    pair: Pair, book: Book, settled: None
) -> None:
    async with configured(pair.reader, "recovery_min_apply_delay", "1500ms"):
        await book.write()
        found = await asked(pair, {**LIMITS, "s": Limit(WARN_S, 5, "s")})
    assert found.status is Status.WARN
    assert found.lag_high_s is not None
    assert WARN_S <= found.lag_high_s < 5


async def test_a_reader_that_is_cut_off_is_told_from_an_idle_one(
    pair: Pair, book: Book, settled: None
) -> None:
    async with cut_off(pair.reader):
        idle = await asked(pair, CALM)
        assert verdict(idle) == (
            Status.FAIL,
            Freshness.FRESH,
            Pipeline.NO_RECEIVER,
            Cause.RECEIVER_DOWN,
        )
        assert idle.freshness_status is Status.OK
        await book.write()
        behind = await asked(pair)
        assert await book.holds(behind)
        assert verdict(behind) == (
            Status.FAIL,
            Freshness.TRANSPORT_BEHIND,
            Pipeline.NO_RECEIVER,
            Cause.RECEIVER_DOWN,
        )
        # What others call 0: all that was received is replayed.
        equal = "SELECT pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn()"
        assert await ask(pair.reader, equal)


async def test_a_restarted_reader_without_a_receiver_is_behind_and_not_at_zero(
    pair: Pair, book: Book, settled: None
) -> None:
    is_old = not keeps_dates(pair)
    pg_bin = _pg_bin("installed") if is_old else None
    async with cut_off(pair.reader):
        await ask(pair.writer, "CHECKPOINT")
        await restart(pair, "reader", pg_bin=pg_bin)
        await book.write()
        found = await asked(pair)
        assert await book.holds(found)
    assert found.status is Status.FAIL
    assert found.freshness is Freshness.TRANSPORT_BEHIND
    assert found.cause is Cause.RECEIVER_DOWN
    assert found.bytes_behind is not None
    # Its receive position starts at the beginning of a file.
    assert 0 < found.bytes_behind < 1 << 20


async def test_a_network_stall_is_slow_transport(
    pair: Pair, book: Book, settled: None
) -> None:
    async with stalled(pair.writer):
        await book.write()
        # The server calls it streaming, and its lag is null or 0.
        query = "SELECT state FROM pg_stat_replication"
        assert await ask(pair.writer, query) == "streaming"
        found = await asked(pair)
        assert await book.holds(found)
    assert (found.status, found.cause) == (Status.FAIL, Cause.SLOW_TRANSPORT)
    assert found.freshness is Freshness.TRANSPORT_BEHIND


async def test_one_commit_after_a_long_silence_is_as_old_as_it_is(
    pair: Pair, book: Book, settled: None
) -> None:
    await book.write()
    await until(pair.reader, f"SELECT ({NAIVE}) > 2.2")
    async with paused(pair.reader):
        await book.write()
        found = await asked(pair, {**LIMITS, "s": Limit(1, 2, "s")}, limit_s=0.2)
        assert await book.holds(found)
        assert found.lag_low_s is not None
        assert found.lag_high_s is not None
        if keeps_dates(pair):
            assert found.lag_high_s - found.lag_low_s < 0.5
            assert found.lag_high_s < 2
        else:
            # Nothing but an interval, and it holds the failing threshold.
            assert found.lag_low_s < 2 < found.lag_high_s
            assert found.status is Status.WARN
            assert "uncertain" in found.summary


async def test_what_is_surely_too_old_is_not_waited_for(
    pair: Pair, book: Book, settled: None
) -> None:
    async with paused(pair.reader):
        await book.write()
        await asyncio.sleep(FAIL_S)
        found = await asked(pair)
        assert found.status is Status.FAIL
        assert await book.holds(found)
    assert found.waited_s is not None
    assert (found.waited_s < FAIL_S) == keeps_dates(pair)


async def test_a_bulk_load_is_not_lag(pair: Pair, book: Book, settled: None) -> None:
    await book.write()
    await ask(pair.writer, "CREATE TABLE IF NOT EXISTS bulk (t text)")
    async with on(pair.writer) as writer, on(pair.reader) as reader:
        await writer.execute("BEGIN")
        for _ in range(4):
            await writer.execute(
                "INSERT INTO bulk SELECT repeat('x', 500) FROM generate_series(1, 4000)"
            )
            await asyncio.sleep(0.1)
            found = await asked(pair, CALM)
            assert (found.status, found.freshness) == (Status.OK, Freshness.FRESH)
            assert await book.holds(found)
        assert await reader.fetchval(NAIVE) > WARN_S
        await writer.execute("ROLLBACK")


async def test_a_query_that_holds_the_replay_back_is_named(
    pair: Pair, book: Book, settled: None
) -> None:
    await ask(pair.writer, "CREATE TABLE IF NOT EXISTS held (n int)")
    await until(pair.reader, "SELECT to_regclass('held') IS NOT NULL")
    async with on(pair.reader) as reader:
        await reader.execute("BEGIN")
        await reader.execute("SELECT * FROM held")
        await ask(pair.writer, "TRUNCATE held")
        await book.write()
        found = await asked(pair)
        await reader.execute("ROLLBACK")
    assert (found.status, found.cause) == (Status.FAIL, Cause.RECOVERY_CONFLICT)
    assert found.freshness is Freshness.APPLY_BEHIND


async def test_a_snapshot_that_holds_the_replay_back_is_named(
    pair: Pair, book: Book, settled: None
) -> None:
    await ask(
        pair.writer,
        "CREATE TABLE IF NOT EXISTS swept AS SELECT generate_series(1, 1000) AS n",
    )
    async with configured(pair.reader, "hot_standby_feedback", "off"):
        no_xmin = "SELECT xmin IS NULL FROM pg_replication_slots"
        await until(pair.writer, no_xmin)
        await until(pair.reader, "SELECT count(*) = 1000 FROM swept")
        async with on(pair.reader) as reader:
            await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            await reader.execute("SELECT * FROM swept")
            await ask(pair.writer, "DELETE FROM swept", "VACUUM swept")
            await book.write()
            found = await asked(pair)
            await reader.execute("ROLLBACK")
    await ask(pair.writer, "DROP TABLE swept")
    assert (found.status, found.cause) == (Status.FAIL, Cause.RECOVERY_CONFLICT)


async def test_a_probe_writes_one_commit_that_the_reader_gets(
    pair: Pair, book: Book, settled: None
) -> None:
    await book.write()
    await until(pair.reader, f"SELECT ({NAIVE}) > 0.5")
    async with on(pair.reader) as reader:
        last = await reader.fetchval("SELECT pg_last_xact_replay_timestamp()")
        # A role's own default does not stand in its way.
        async with configured(pair.writer, "default_transaction_read_only", "on"):
            await until(pair.writer, "SHOW transaction_read_only")
            found = await asked(pair, CALM, probe=True)
        assert (found.status, found.freshness) == (Status.OK, Freshness.FRESH)
        assert await reader.fetchval("SELECT pg_last_xact_replay_timestamp()") > last


async def test_bytes_trip_as_seconds_do(pair: Pair, book: Book, settled: None) -> None:
    patient: dict[Unit, Limit] = {
        "s": Limit(60, 600, "s"),
        "B": Limit(1 << 16, 1 << 20, "B"),
    }
    async with paused(pair.reader):
        await ask(
            pair.writer,
            "CREATE TABLE IF NOT EXISTS bulk (t text)",
            "INSERT INTO bulk SELECT repeat('x', 500) FROM generate_series(1, 8000)",
        )
        found = await asked(pair, patient, limit_s=0.1)
    assert found.status is Status.FAIL
    assert found.bytes_behind is not None
    assert found.bytes_behind > 1 << 20
    by_name = {it.name: it for it in found.measures()}
    assert by_name["bytes_behind"].value == found.bytes_behind
    assert by_name["bytes_behind"].fail == 1 << 20
    assert by_name["lag_low"].warn == 60


async def test_a_distance_across_the_end_of_a_log_file_is_exact(pair: Pair) -> None:
    connector = between(pair.writer, pair.reader).connector("reader")
    async with connector.dialled() as dialled:
        row = await ReadOnly(dialled).row(ON_READER, "1/684F88")
    high, low = (int(it, 16) for it in row["replayed"].split("/"))
    assert row["bytes_behind"] == (1 << 32) + 0x684F88 - (high << 32) - low


async def test_a_commit_that_did_not_wait_for_the_disk_is_not_overlooked(
    pair: Pair, book: Book, settled: None
) -> None:
    # What is flushed at once does not include it.
    async with (
        configured(pair.writer, "wal_writer_delay", "1s"),
        on(pair.writer) as writer,
    ):
        await writer.execute("SET synchronous_commit = off")
        for _ in range(3):
            await book.write_on(writer)
            found = await asked(pair, CALM)
            assert found.freshness is Freshness.FRESH
            seen = await ask(pair.reader, "SELECT max(n) FROM book")
            assert seen == len(book.rows)


async def test_a_reader_that_is_the_writer_is_a_warning_and_no_number(
    pair: Pair,
) -> None:
    connectors = between(pair.writer, pair.writer)
    writer, reader = connectors.connector("writer"), connectors.connector("reader")
    found = await lag(writer, reader)
    assert (found.status, found.cause) == (Status.WARN, Cause.READER_IS_WRITER)
    assert (found.lag_low_s, found.lag_high_s, found.bytes_behind) == (None, None, None)
    assert all(it.value is None for it in found.measures())
    required = await lag(writer, reader, require_replica=True)
    assert required.status is Status.FAIL


async def test_a_standby_given_as_the_writer_fails(pair: Pair) -> None:
    connectors = between(pair.reader, pair.reader)
    found = await lag(connectors.connector("writer"), connectors.connector("reader"))
    assert (found.status, found.cause) == (Status.FAIL, Cause.WRITER_IS_STANDBY)
    assert found.outcome is Outcome.REFUSED
    assert found.lag_low_s is None


async def test_a_role_without_privileges_is_told_what_would_let_it_know(
    pair: Pair, settled: None
) -> None:
    await ask(pair.writer, "CREATE ROLE plain LOGIN PASSWORD 'plain'")
    connectors = between(plain(pair.writer), plain(pair.reader))
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(UnreachableError):
                found = await lag(
                    connectors.connector("writer"), connectors.connector("reader")
                )
                if found.error is None:
                    break
            await asyncio.sleep(0.05)
    assert (found.status, found.freshness) == (Status.WARN, Freshness.FRESH)
    assert found.pipeline is Pipeline.UNKNOWN
    assert found.requires == "GRANT pg_read_all_stats TO plain"
    alone = await lag(None, connectors.connector("reader"))
    assert (alone.status, alone.freshness) == (Status.UNKNOWN, Freshness.UNKNOWN)
    assert alone.requires == "GRANT pg_read_all_stats TO plain"


def plain(endpoint: Endpoint) -> Endpoint:
    from dataclasses import replace

    from pydantic import SecretStr

    return replace(endpoint, user="plain", password=SecretStr("plain"))


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
    assert {it.status for it in found.checked()} == {Status.UNKNOWN}


async def test_a_reader_alone_is_as_fresh_as_its_upstream_and_never_ok(
    pair: Pair, book: Book, settled: None
) -> None:
    reader = between(None, pair.reader).connector("reader")
    await book.write()
    found = await lag(None, reader, limits=LIMITS)
    assert (found.status, found.freshness) == (Status.WARN, Freshness.AS_UPSTREAM)
    assert found.outcome is Outcome.OK
    assert (found.lag_low_s, found.lag_high_s) == (None, None)
    assert "as fresh as its upstream" in found.summary
    assert f":{pair.writer.addresses[0].port}, as of the last message" in found.summary
    async with paused(pair.reader):
        await book.write()
        await until(pair.reader, _HEARD)
        behind = await lag(None, reader, limits=LIMITS)
    assert (behind.status, behind.cause) == (Status.UNKNOWN, Cause.REPLAY_PAUSED)
    assert behind.outcome is Outcome.UNHEALTHY
    async with cut_off(pair.reader):
        gone = await lag(None, reader, limits=LIMITS)
    assert (gone.status, gone.cause) == (Status.UNKNOWN, Cause.RECEIVER_DOWN)


_HEARD = """
    SELECT latest_end_lsn > pg_last_wal_replay_lsn() FROM pg_stat_wal_receiver
"""


async def test_a_writer_that_does_not_answer_leaves_what_the_reader_says(
    pair: Pair, settled: None
) -> None:
    connectors = Connectors(
        load_settings(
            flags={
                "database_url": "postgresql://dbops@127.0.0.1:1/postgres",
                "database_reader_url": pair.reader.url(show_password=True),
            }
        )
    )
    found = await lag(connectors.connector("writer"), connectors.connector("reader"))
    assert (found.status, found.freshness) == (Status.UNKNOWN, Freshness.AS_UPSTREAM)
    assert found.cause is Cause.WRITER_UNREACHABLE
    assert found.outcome is Outcome.UNREACHABLE
