"""The truth about several readers: a writer, its standby, and a standby below that."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from dbops.endpoint import Address, Endpoint
from dbops.engine.connect import Connector
from dbops.limits import Limit, Unit
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.lag import Cause, Freshness, Lag, Pipeline, lag, lag_of_each
from dbops.results import Status
from tests.server.standbys import (
    Book,
    ask,
    between,
    cascaded,
    configured,
    cut_off,
    paused,
    until,
)

# Where a good answer is expected, of a machine that has other things to do too.
CALM: dict[Unit, Limit] = {"s": Limit(2, 5, "s"), "B": Limit(None, None, "B")}
LIMITS: dict[Unit, Limit] = {"s": Limit(0.3, 0.8, "s"), "B": Limit(None, None, "B")}


@pytest.fixture(scope="module")
async def pair() -> AsyncGenerator[Pair]:
    async with throwaway() as pair:
        yield pair


@pytest.fixture(scope="module")
async def third(pair: Pair) -> AsyncGenerator[Endpoint]:
    async with cascaded(pair) as third:
        yield third


@pytest.fixture(scope="module")
async def book(pair: Pair) -> Book:
    book = Book(pair)
    await book.open()
    return book


async def asked(
    writer: Endpoint | None, reader: Endpoint, limits: dict[Unit, Limit] = LIMITS
) -> Lag:
    ways = connectors(writer, reader)
    return await lag(*ways, limits=limits)


async def asked_each(writer: Endpoint | None, *readers: Endpoint) -> Lag:
    addresses = tuple(it for reader in readers for it in reader.addresses)
    ways = connectors(writer, replace(readers[0], addresses=addresses))
    return await lag_of_each(*ways, limits={**CALM, "s": Limit(1, 2, "s")})


def connectors(
    writer: Endpoint | None, reader: Endpoint
) -> tuple[Connector | None, Connector]:
    ways = between(writer, reader)
    return ways.connector("writer") if writer else None, ways.connector("reader")


async def settled(pair: Pair, *readers: Endpoint) -> None:
    async with asyncio.timeout(30):
        for reader in readers:
            while (await asked(pair.writer, reader, CALM)).status is not Status.OK:
                await asyncio.sleep(0.05)


async def test_a_reader_below_a_reader_is_measured_against_the_writer(
    pair: Pair, third: Endpoint, book: Book
) -> None:
    await book.write()
    await settled(pair, third)
    found = await asked(pair.writer, third, CALM)
    assert (found.status, found.freshness) == (Status.OK, Freshness.FRESH)
    assert found.reader.upstream is not None
    assert found.reader.upstream.endswith(f":{pair.reader.addresses[0].port}")


async def test_a_reader_whose_upstream_was_cut_off_is_behind_although_it_streams(
    pair: Pair, third: Endpoint, book: Book
) -> None:
    await settled(pair, pair.reader, third)
    async with cut_off(pair.reader):
        await book.write()
        found = await asked(pair.writer, third)
        assert await book.holds(found, third)
        alone = await asked(None, third)
    assert (found.status, found.freshness, found.pipeline, found.cause) == (
        Status.FAIL,
        Freshness.TRANSPORT_BEHIND,
        Pipeline.STREAMING,
        Cause.SLOW_TRANSPORT,
    )
    assert "from where it receives, has not sent it" in found.summary
    # What it knows by itself is not the truth, and is not called ok.
    assert (alone.status, alone.freshness) == (Status.WARN, Freshness.AS_UPSTREAM)


async def test_each_reader_is_asked_and_the_worst_counts(
    pair: Pair, third: Endpoint, book: Book
) -> None:
    await settled(pair, pair.reader, third)
    async with paused(third):
        await book.write()
        found = await asked_each(pair.writer, pair.reader, third)
    assert found.status is Status.FAIL
    assert found.cause is Cause.REPLAY_PAUSED
    assert found.reader.port == third.addresses[0].port
    assert [(it.reader.port, it.status) for it in found.readers] == [
        (pair.reader.addresses[0].port, Status.OK),
        (third.addresses[0].port, Status.FAIL),
    ]
    assert len({it.id for it in found.checked()}) == 4
    labels = {it.labels["reader"] for it in found.measures()}
    assert labels == {it.reader.address for it in found.readers}


async def test_a_reader_that_is_gone_does_not_hide_the_others(
    pair: Pair, third: Endpoint
) -> None:
    await settled(pair, pair.reader)
    gone = replace(third, addresses=(Address("127.0.0.1", 1),))
    found = await asked_each(pair.writer, pair.reader, gone)
    assert found.status is Status.UNKNOWN
    assert found.problem is not None
    assert [it.status for it in found.readers] == [Status.OK, Status.UNKNOWN]


async def test_a_standby_that_nobody_asked_is_named(
    pair: Pair, third: Endpoint
) -> None:
    await settled(pair, third)
    found = await asked_each(pair.writer, third)
    assert found.status is Status.UNKNOWN
    assert [it.reader.host for it in found.readers] == ["127.0.0.1", "reader"]
    assert "was not asked" in found.summary
    # Whoever was asked is not told of twice.
    both = await asked_each(pair.writer, pair.reader, third)
    assert (both.status, len(both.readers)) == (Status.OK, 2)


async def test_a_logical_subscriber_is_no_reader(pair: Pair) -> None:
    async with throwaway(
        template=False, standby=False, settings={"wal_level": "logical"}
    ) as other:
        host = f"host={other.folder}/sockets port={other.writer.addresses[0].port}"
        await ask(
            other.writer,
            "CREATE PUBLICATION p FOR ALL TABLES",
            "SELECT slot_name FROM pg_create_logical_replication_slot('s', 'pgoutput')",
            "CREATE DATABASE target",
        )
        target = other.writer.with_database("target")
        subscribe = (
            f"CREATE SUBSCRIPTION sub CONNECTION '{host} user=dbops dbname=postgres' "
            "PUBLICATION p WITH (create_slot = false, slot_name = 's')"
        )
        await ask(target, subscribe)
        await until(other.writer, "SELECT count(*) > 0 FROM pg_stat_replication")
        found = await asked_each(other.writer, other.writer)
        await ask(
            target,
            "ALTER SUBSCRIPTION sub DISABLE",
            "ALTER SUBSCRIPTION sub SET (slot_name = NONE)",
            "DROP SUBSCRIPTION sub",
        )
    assert found.cause is Cause.READER_IS_WRITER
    assert len(found.readers) == 1


async def test_another_cluster_is_told_before_any_position_is_compared(
    pair: Pair,
) -> None:
    async with throwaway(template=False, standby=False) as stranger:
        found = await asked(pair.writer, stranger.writer)
    assert (found.status, found.cause) == (Status.FAIL, Cause.WRONG_CLUSTER)
    assert (found.lag_low_s, found.bytes_behind) == (None, None)


async def test_an_archive_that_is_all_there_is_to_receive_from_is_no_fault(
    pair: Pair, third: Endpoint
) -> None:
    await settled(pair, third)
    async with configured(third, "restore_command", "false"):
        async with cut_off(third):
            broken = await asked(pair.writer, third)
        async with configured(third, "primary_conninfo", ""):
            await until(third, "SELECT count(*) = 0 FROM pg_stat_wal_receiver")
            found = await asked(pair.writer, third)
    assert (broken.pipeline, broken.pipeline_status) == (
        Pipeline.NO_RECEIVER,
        Status.FAIL,
    )
    assert (found.pipeline, found.pipeline_status) == (Pipeline.ARCHIVE, Status.OK)
    await settled(pair, third)


async def test_a_reader_that_followed_another_promotion_has_diverged(
    pair: Pair, third: Endpoint, book: Book
) -> None:
    # The last test of this file: it leaves two primaries.
    await settled(pair, pair.reader, third)
    await ask(pair.reader, "SELECT pg_catalog.pg_promote()")
    brain = await asked(pair.writer, pair.reader)
    assert (brain.status, brain.cause) == (Status.FAIL, Cause.SPLIT_BRAIN)
    assert (brain.lag_low_s, brain.lag_high_s) == (None, None)
    followed = "SELECT max(received_tli) = 2 FROM pg_stat_wal_receiver"
    await until(third, followed)
    found = await asked(pair.writer, third)
    assert (found.status, found.cause) == (Status.FAIL, Cause.TIMELINE_DIVERGED)
    # Of the promoted one it is a sound reader.
    await ask(pair.reader, "INSERT INTO book VALUES (-1)")
    async with asyncio.timeout(20):
        while (await asked(pair.reader, third, CALM)).status is not Status.OK:
            await asyncio.sleep(0.05)
