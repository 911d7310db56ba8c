"""Writer and reader, sampled again and again, against what is known to be true."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module

import pytest
from pydantic import SecretStr

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, Connectors, connect
from dbops.errors import CredentialsError
from dbops.operations.watch import Sample, State, server, watch
from dbops.operations.watch.tokens import Bounds, Moment, Tokens
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import Served, new_name
from tests.faults.proxy import proxy

INTERVAL_S = 0.1


def between(writer: Endpoint, reader: Endpoint | None) -> Connectors:
    flags: dict[str, object] = {
        "database_url": writer.url(show_password=True),
        "interval": INTERVAL_S,
    }
    if reader is not None:
        flags["database_reader_url"] = reader.url(show_password=True)
    return Connectors(load_settings(flags=flags))


@asynccontextmanager
async def watched(
    writer: Endpoint, reader: Endpoint | None = None
) -> AsyncGenerator[Callable[[Callable[[Sample], object]], "asyncio.Future[Sample]"]]:
    """Sample for the block; what is yielded waits for a sample that is so."""
    samples = watch(between(writer, reader))

    async def until(is_so: Callable[[Sample], object]) -> Sample:
        async with asyncio.timeout(20):
            async for sample in samples:
                if is_so(sample):
                    return sample
        raise AssertionError

    try:
        yield lambda is_so: asyncio.ensure_future(until(is_so))
    finally:
        await samples.aclose()


@asynccontextmanager
async def on(endpoint: Endpoint, name: str = "test") -> AsyncGenerator[Connection]:
    connection = await connect(endpoint, application_name=name)
    try:
        yield connection
    finally:
        await connection.close()


async def test_both_servers_answer_and_the_reader_is_fresh(served: Served) -> None:
    async with watched(served.writer, served.reader) as until:
        sample = await until(lambda it: it.lag and it.lag.high_s is not None)
    writer, reader = sample.servers
    assert sample.status is Status.OK
    assert (writer.role, writer.state, writer.is_in_recovery) == (
        "writer",
        State.UP,
        False,
    )
    assert (reader.role, reader.state, reader.is_in_recovery) == (
        "reader",
        State.UP,
        True,
    )
    for found in sample.servers:
        assert found.latency_ms is not None
        assert found.latency_ms > 0
        assert found.connections is not None
        assert found.connections.usable == 197
        assert found.connections.in_use >= 1
        assert found.requires is None
    assert sample.lag is not None
    assert sample.lag.low_s == 0
    assert sample.lag.high_s is not None
    assert 0 < sample.lag.high_s < 5


async def test_a_paused_reader_is_as_far_behind_as_it_is(served: Served) -> None:
    async with (
        on(served.writer) as primary,
        on(served.reader) as standby,
        watched(served.writer, served.reader) as until,
    ):
        await until(lambda it: it.lag and it.lag.high_s is not None)
        await standby.execute("SELECT pg_catalog.pg_wal_replay_pause()")
        try:
            before = datetime.now(UTC)
            await primary.execute("CREATE TABLE written (n int)")
            after = datetime.now(UTC)
            behind = await until(lambda it: it.lag and (it.lag.low_s or 0) > 0.5)
            now = datetime.now(UTC)
        finally:
            await standby.execute("SELECT pg_catalog.pg_wal_replay_resume()")
        assert behind.lag is not None
        assert behind.lag.low_s is not None
        assert behind.lag.high_s is not None
        # The truth when it was asked, and when the answer was there.
        assert behind.lag.low_s <= (now - before).total_seconds()
        assert behind.lag.high_s >= (behind.sampled_at - after).total_seconds()
        assert behind.lag.high_s >= behind.lag.low_s
        assert behind.lag.bytes_behind
        assert "paused" in behind.lag.summary
        assert behind.lag.status is not Status.OK
        fresh = await until(lambda it: it.lag and it.lag.low_s == 0)
        assert fresh.lag is not None
        assert fresh.lag.bytes_behind == 0


async def test_who_waits_for_whom_is_told_without_literals(served: Served) -> None:
    async with (
        on(served.writer, "holder") as holder,
        on(served.writer, "waiter") as waiter,
        watched(served.writer, served.reader) as until,
    ):
        await holder.execute('CREATE TABLE "od""d" (n int)')
        await holder.execute("BEGIN")
        await holder.execute("""LOCK "od""d" """)
        await holder.execute("SELECT 's3cr3t-sentinel'")
        asked = asyncio.ensure_future(waiter.execute("""TABLE "od""d" """))
        sample = await until(lambda it: it.servers[0].waits)
        await holder.execute("ROLLBACK")
        await asked
    (wait,) = sample.servers[0].waits or ()
    assert (wait.application, wait.blocker_application) == ("waiter", "holder")
    assert wait.blocker_state == "idle in transaction"
    assert wait.object == 'public."od""d"'
    assert wait.mode == "AccessShareLock"
    oldest = (sample.servers[0].transactions or ())[0]
    assert (oldest.application, oldest.statement) == ("holder", "SELECT …")
    assert oldest.age_s > 0
    assert "s3cr3t-sentinel" not in sample.model_dump_json()


async def test_a_plain_role_hears_what_is_hidden_and_the_grant(served: Served) -> None:
    role = new_name("plain")
    plain = [
        replace(it, user=role, password=SecretStr("plain"))
        for it in (served.writer, served.reader)
    ]
    async with on(served.writer, "holder") as holder:
        await holder.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'plain'")
        await holder.execute("BEGIN")
        await holder.execute("SELECT pg_catalog.pg_current_xact_id()")
        async with on(served.reader) as standby, asyncio.timeout(20):
            while not await standby.fetchval(
                "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role
            ):
                await asyncio.sleep(0.02)
        async with watched(*plain) as until:
            sample = await until(
                lambda it: it.doctor and it.servers[0].state is State.UP
            )
        await holder.execute("ROLLBACK")
        await holder.execute(f"DROP ROLE {role}")
    writer = sample.servers[0]
    assert writer.requires == f"GRANT pg_read_all_stats TO {role}"
    assert writer.transactions == ()
    assert writer.connections is not None
    assert writer.connections.in_use >= 2
    assert writer.connections.by_state is None
    assert sample.doctor is not None
    assert sample.doctor.status in (Status.UNKNOWN, Status.FAIL)
    hidden = [
        it
        for it in sample.doctor.findings
        if it.remedy == writer.requires and "may not see what others do" in it.message
    ]
    # Said once, however many checks say it.
    assert len(hidden) == 1
    assert "D20" in hidden[0].ids


async def test_one_connection_to_each_serves_the_doctor_too(served: Served) -> None:
    name = new_name("watching")
    writer = replace(served.writer, application_name=name)
    reader = replace(served.reader, application_name=name)
    most = 0
    async with (
        on(served.writer) as primary,
        on(served.reader) as standby,
        watched(writer, reader) as until,
    ):
        found = until(lambda it: it.doctor is not None)
        while not found.done():
            for server_ in (primary, standby):
                number = await server_.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1",
                    name,
                )
                most = max(most, number)
            await asyncio.sleep(0.01)
        assert (await found).doctor is not None
    assert most == 1


async def test_a_frozen_and_a_cut_server_come_back(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The package has a function of the module's name.
    sampling = import_module("dbops.operations.watch.watch")
    monkeypatch.setattr(sampling, "_PATIENCE_S", 0.3)
    monkeypatch.setattr(server, "_SILENT_S", 1.5)
    async with (
        proxy(served.reader) as network,
        watched(
            served.writer, replace(served.reader, addresses=(network.address,))
        ) as until,
    ):
        await until(lambda it: it.servers[1].state is State.UP)
        network.freeze()
        late = await until(lambda it: it.servers[1].state is State.LATE)
        assert late.status is Status.UNKNOWN
        assert late.servers[1].latency_ms is None
        assert late.servers[1].connections is None
        assert late.servers[1].since is not None
        assert late.lag is not None
        assert (late.lag.low_s, late.lag.high_s) == (None, None)
        assert late.servers[0].state is State.UP
        away = await until(lambda it: it.servers[1].state is State.AWAY)
        assert away.status is Status.FAIL
        assert away.problem is not None
        assert away.servers[1].since == late.servers[1].since
        network.thaw()
        await until(lambda it: it.servers[1].state is State.UP)
        before = network.connections
        network.cut()
        back = await until(
            lambda it: network.connections > before and it.servers[1].state is State.UP
        )
        assert back.servers[1].since is None


async def test_the_writer_as_its_own_reader_is_no_replica(served: Served) -> None:
    async with watched(served.writer, served.writer) as until:
        sample = await until(lambda it: it.servers[1].state is State.UP)
    assert sample.lag is not None
    assert sample.lag.status is Status.WARN
    assert (sample.lag.low_s, sample.lag.high_s) == (None, None)
    assert "the writer itself" in sample.lag.summary


async def test_a_standby_as_the_writer_fails(served: Served) -> None:
    async with watched(served.reader) as until:
        sample = await until(lambda it: it.servers[0].state is State.UP)
    assert sample.status is Status.FAIL
    assert sample.servers[0].note is not None
    assert sample.lag is None


async def test_a_wrong_password_at_the_start_is_an_error(served: Served) -> None:
    wrong = replace(served.writer, password=SecretStr("s3cr3t-sentinel"))
    async with watched(wrong) as until:
        with pytest.raises(CredentialsError) as raised:
            await until(lambda _: False)
    assert "s3cr3t-sentinel" not in str(raised.value)


async def test_aurora_is_never_asked_for_a_position(served: Served) -> None:
    """Stand-ins of the documented shape, in the schema that is always looked in."""
    stand_ins = """
        CREATE FUNCTION pg_catalog.aurora_version() RETURNS text
            LANGUAGE sql RETURN '16.6.0';
        CREATE FUNCTION pg_catalog.aurora_db_instance_identifier() RETURNS text
            LANGUAGE sql RETURN 'reader-2';
        CREATE FUNCTION pg_catalog.aurora_replica_status(
            OUT server_id text, OUT session_id text,
            OUT replica_lag_in_msec double precision) RETURNS SETOF record
            LANGUAGE sql BEGIN ATOMIC
                SELECT 'writer-1', 'MASTER_SESSION_ID', NULL::double precision
                 UNION ALL SELECT 'reader-2', 'b5ac9c5f', 17.5;
            END;
    """
    async with on(served.writer) as primary:
        await primary.execute(stand_ins)
    async with on(served.reader) as standby, asyncio.timeout(20):
        while not await standby.fetchval(
            "SELECT EXISTS (SELECT FROM pg_proc WHERE proname = 'aurora_version')"
        ):
            await asyncio.sleep(0.02)
    async with watched(served.writer, served.reader) as until:
        sample = await until(lambda it: it.servers[1].state is State.UP)
    assert sample.lag is not None
    assert (sample.lag.low_s, sample.lag.high_s) == (0.018, 0.018)
    assert sample.lag.bytes_behind is None


async def test_nothing_is_left_on_the_server(served: Served) -> None:
    name = new_name("watching")
    async with watched(replace(served.writer, application_name=name)) as until:
        await until(lambda it: it.servers[0].state is State.UP)
    async with on(served.writer) as primary, asyncio.timeout(20):
        while await primary.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", name
        ):
            await asyncio.sleep(0.02)


def test_missing_tokens_bound_from_below_and_replayed_ones_from_above() -> None:
    tokens = Tokens()
    assert tokens.bounds(100, Moment(0, 0)) == Bounds(None, None)
    for second, position in enumerate((100, 200, 200, 200, 300)):
        tokens.add(("cluster", 1), position, Moment(second, second + 0.25))
    assert tokens.bounds(100, Moment(5, 5.5)) == Bounds(3.75, 5.5)
    assert tokens.bounds(200, Moment(5, 5.5)) == Bounds(0.75, 2.5)
    assert tokens.bounds(300, Moment(5, 5.5)) == Bounds(0.0, 1.5)
    # An idle writer is no lag: its last position was taken a moment ago.
    tokens.add(("cluster", 1), 300, Moment(60, 60.25))
    assert tokens.bounds(300, Moment(60.25, 60.5)) == Bounds(0.0, 0.5)
    # Another timeline's positions say nothing about this one's.
    tokens.add(("cluster", 2), 400, Moment(61, 61.25))
    assert tokens.bounds(300, Moment(62, 62.25)) == Bounds(0.75, None)


def test_what_stays_behind_for_long_keeps_its_age() -> None:
    tokens = Tokens()
    tokens.add(("cluster", 1), 1, Moment(0, 0))
    for second in range(1, 9000):
        tokens.add(("cluster", 1), second, Moment(second, second))
    low_s, high_s = tokens.bounds(1, Moment(9000, 9000))
    assert high_s is not None
    assert high_s >= 8998
    assert low_s is not None
    assert 8900 < low_s <= 8998
