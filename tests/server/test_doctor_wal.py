"""WAL that is kept, lost, not archived or not received, and what only looks like it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from dbops.engine.connect import Connection, Connectors
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.doctor import Diagnosis
from dbops.operations.doctor.answer import Severity
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import Served, installed_postgresql
from tests.server.doctored import (
    about,
    configured,
    diagnosed,
    leading_to,
    make_roles,
    session,
    until,
    until_true,
)


@pytest.fixture(scope="module", params=["embedded", "installed"])
async def ours(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """A pair of our own that archives, on 18 and on the system's own version."""
    settings = {
        "wal_level": "logical",
        "archive_mode": "on",
        "archive_command": "true",
        "wal_retrieve_retry_interval": "200ms",
    }
    pg_bin = installed_postgresql() if request.param == "installed" else None
    async with throwaway(pg_bin=pg_bin, settings=settings) as pair:
        await make_roles(pair)
        yield pair


@asynccontextmanager
async def slot(pair: Pair, name: str, arguments: str) -> AsyncGenerator[Connection]:
    """Make a slot on the writer for the block."""
    async with session(pair.writer) as writer:
        await writer.execute(
            f"SELECT pg_create_physical_replication_slot('{name}', {arguments})"
        )
        try:
            yield writer
        finally:
            await writer.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                "WHERE slot_name = $1 AND NOT temporary",
                name,
            )


async def switch_wal(connection: Connection, times: int = 1) -> None:
    for _ in range(times):
        await connection.execute(
            "SELECT pg_logical_emit_message(true, 'test', 'x'); SELECT pg_switch_wal()"
        )


async def caught_up(connection: Connection) -> None:
    """Wait for the standby, whose slot keeps what is still on its way."""
    await until_true(
        connection,
        "SELECT pg_current_wal_lsn() - restart_lsn < 1000000 "
        "FROM pg_replication_slots WHERE slot_name = 'reader'",
    )


def dated(writer: Connection) -> bool:
    """Whether the server tells since when a slot is inactive."""
    return writer.get_server_version().major >= 17


async def test_the_slot_of_a_standby_that_reads_is_no_finding(ours: Pair) -> None:
    found = await diagnosed(leading_to(ours), "D15", inactive="0s")
    assert (found.status, found.findings) == (Status.OK, ())
    assert "there is no replication slot" in found.summary


async def test_a_slot_that_nobody_reads_is_reported_and_its_remedy_helps(
    ours: Pair,
) -> None:
    async with slot(ours, "forgotten", "true") as writer:
        found = await diagnosed(leading_to(ours), "D15", inactive="0s")
        finding = about(found, "forgotten")
        assert found.status is Status.WARN
        assert "nobody" in finding.message
        assert finding.role == "writer"
        assert finding.remedy == "SELECT pg_drop_replication_slot('forgotten')"
        await writer.execute(finding.remedy)
        assert not (await diagnosed(leading_to(ours), "D15", inactive="0s")).findings


async def test_a_slot_that_was_left_just_now_is_not_yet_a_warning(ours: Pair) -> None:
    async with slot(ours, "restarting", "true") as writer:
        finding = about(await diagnosed(leading_to(ours), "D15"), "restarting")
        # Before 17 nobody can tell for how long.
        expected = Severity.INFO if dated(writer) else Severity.WARN
        assert finding.severity is expected


async def test_a_slot_that_keeps_too_much_is_reported(ours: Pair) -> None:
    async with slot(ours, "behind", "true") as writer:
        await switch_wal(writer, 2)
        await caught_up(writer)
        for limit in {"retained": "16MB"}, {"share": "10%"}:
            found = await diagnosed(leading_to(ours), "D15", **limit)
            assert found.status is Status.WARN
            assert "MB of WAL, " in about(found, "behind").message
            assert "reader" not in {it.object for it in found.findings}


async def test_a_slot_that_keeps_nothing_for_long_is_no_finding(ours: Pair) -> None:
    async with (
        slot(ours, "unused", "false"),
        slot(ours, "passing", "true, true") as backup,
    ):
        await switch_wal(backup, 2)
        await caught_up(backup)
        found = await diagnosed(leading_to(ours), "D15", inactive="0s", retained="16MB")
        assert (found.status, found.findings) == (Status.OK, ())


async def test_a_lost_slot_fails(ours: Pair) -> None:
    bounds = configured(ours.writer, max_slot_wal_keep_size="16MB", wal_keep_size="0")
    async with slot(ours, "lost", "true") as writer:
        async with bounds:
            for _ in range(5):
                await switch_wal(writer)
                await caught_up(writer)
            await writer.execute("CHECKPOINT")
            found = await diagnosed(leading_to(ours, user="plain"), "D15")
        finding = about(found, "lost")
        assert (found.status, finding.severity) == (Status.FAIL, Severity.FAIL)
        assert finding.remedy == "SELECT pg_drop_replication_slot('lost')"
        assert [it.object for it in found.findings] == ["lost"]


async def test_slots_without_a_bound_are_a_warning(ours: Pair) -> None:
    async with configured(ours.writer, max_slot_wal_keep_size="-1"):
        found = await until(lambda: diagnosed(leading_to(ours), "D15"), Status.WARN)
        assert about(found, "max_slot_wal_keep_size").role == "writer"


async def test_a_slot_on_the_reader_is_seen_there(ours: Pair) -> None:
    create = "SELECT pg_create_physical_replication_slot('cascaded', true)"
    async with session(ours.reader) as reader:
        await reader.execute(create)
        found = await diagnosed(leading_to(ours), "D15", inactive="0s")
        await reader.execute("SELECT pg_drop_replication_slot('cascaded')")
    assert about(found, "cascaded").role == "reader"


async def commit_that_waits(writer: Connection, other: Connection) -> asyncio.Task[str]:
    """Commit until one waits: the servers' processes hear of a setting one by one."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    async with asyncio.timeout(30):
        while True:
            commit = asyncio.create_task(
                writer.execute("SELECT pg_logical_emit_message(true, '', '')")
            )
            while not commit.done():
                if await other.fetchval(waits):
                    return commit
                await asyncio.sleep(0.01)
            await commit


async def test_commits_that_wait_for_nobody_who_is_there_fail(ours: Pair) -> None:
    async with session(ours.writer) as writer:
        async with configured(ours.writer, synchronous_standby_names="nobody"):
            await until_true(
                writer, "SELECT current_setting('synchronous_standby_names') <> ''"
            )
            async with session(ours.writer) as other:
                commit = await commit_that_waits(writer, other)
            found = await diagnosed(leading_to(ours, user="monitor"), "D16")
            hidden = await diagnosed(leading_to(ours, user="plain"), "D16")
        await commit
    assert found.status is Status.FAIL
    assert "waiting now: 1" in about(found, "synchronous_standby_names").message
    assert hidden.status is Status.UNKNOWN
    assert hidden.requires == "GRANT pg_read_all_stats TO plain"


@pytest.mark.parametrize("names", ["reader", "ANY 1 (nobody, reader)", "*"])
async def test_a_synchronous_standby_that_is_there_is_no_finding(
    ours: Pair, names: str
) -> None:
    async with configured(ours.writer, synchronous_standby_names=names):
        async with session(ours.writer) as writer:
            await until_true(
                writer,
                "SELECT sync_state IN ('sync', 'quorum') FROM pg_stat_replication",
            )
        found = await diagnosed(leading_to(ours), "D16")
    assert (found.status, found.findings) == (Status.OK, ())


async def test_one_of_two_synchronous_standbys_is_too_few(ours: Pair) -> None:
    names = "first 2 (reader, nobody)"
    async with configured(ours.writer, synchronous_standby_names=names):
        found = await until(lambda: diagnosed(leading_to(ours), "D16"), Status.FAIL)
        assert found.summary == "synchronous standbys: 1 attached, 2 needed"


async def test_without_synchronous_standbys_nothing_is_hidden(ours: Pair) -> None:
    for user in None, "plain":
        found = await until(
            lambda user=user: diagnosed(leading_to(ours, user=user), "D16"),  # type: ignore[misc] # a bound default
            Status.OK,
        )
        assert "no standby" in found.summary


async def archiving(pair: Pair, user: str | None = None, **limits: str) -> Diagnosis:
    return await diagnosed(leading_to(pair, user=user), "D18", **limits)


async def archived(pair: Pair) -> None:
    """Wait until the archiver works again, which a new file reminds of."""
    async with session(pair.writer) as writer, asyncio.timeout(30):
        while (await archiving(pair, ready="1")).status is not Status.OK:
            await switch_wal(writer)
            await asyncio.sleep(0.1)


async def test_an_archive_that_takes_everything_is_no_finding(ours: Pair) -> None:
    async with session(ours.writer) as writer:
        await switch_wal(writer)
    found = await until(lambda: archiving(ours, ready="1"), Status.OK)
    assert not found.findings
    assert "reader: a standby leaves archiving to its writer" in found.summary


async def test_an_archive_command_that_fails_is_reported_without_its_text(
    ours: Pair,
) -> None:
    async with configured(ours.writer, archive_command="false # password=hunter2"):
        async with session(ours.writer) as writer:
            await switch_wal(writer)
        found = await until(lambda: archiving(ours), Status.WARN)
        long = await archiving(ours, oldest="0s,0s")
        many = await archiving(ours, ready="1,1")
        hidden = await archiving(ours, user="plain")
    assert "failed" in about(found, "archiver").message
    assert "hunter2" not in found.model_dump_json()
    assert (long.status, many.status) == (Status.FAIL, Status.FAIL)
    # What failed is everybody's to see; how much waits is not.
    assert hidden.status is Status.UNKNOWN
    assert hidden.requires == "GRANT pg_monitor TO plain"
    assert {it.severity for it in hidden.findings} == {Severity.WARN, Severity.UNKNOWN}
    await archived(ours)


async def test_an_archive_that_is_behind_and_takes_more_is_a_warning(
    ours: Pair,
) -> None:
    async with configured(ours.writer, archive_command="sleep 0.1"):
        async with session(ours.writer) as writer:
            await until_true(
                writer, "SELECT current_setting('archive_command') = 'sleep 0.1'"
            )
            await switch_wal(writer, 10)
        found = await until(lambda: archiving(ours, ready="1,1"), Status.WARN)
        assert "files wait" in about(found, "archiver").message
    await archived(ours)


async def test_archiving_without_a_command_keeps_everything(ours: Pair) -> None:
    async with configured(ours.writer, archive_command=""):
        found = await until(lambda: archiving(ours), Status.WARN)
        assert "every WAL file is kept" in about(found, "archiver").message
    await archived(ours)


async def test_no_archive_is_no_finding(served: Served) -> None:
    found = await diagnosed(served.connectors(), "D18")
    assert (found.status, found.findings) == (Status.OK, ())
    assert "archive_mode is off" in found.summary


@pytest.fixture
async def subscribed(ours: Pair) -> AsyncGenerator[Connection]:
    """Subscribe one database to another, and return a session in the subscriber."""
    sender, receiver = "sender", "receiver"
    async with session(ours.writer) as writer:
        for name in sender, receiver:
            await writer.execute(f"CREATE DATABASE {name}")
    table = "CREATE TABLE item (id int PRIMARY KEY)"
    async with session(ours.writer.with_database(sender)) as publisher:
        await publisher.execute(f"{table}; CREATE PUBLICATION items FOR TABLE item")
        await publisher.execute(
            "SELECT pg_create_logical_replication_slot('sub', 'pgoutput')"
        )
    (address,) = ours.writer.addresses
    to = (
        f"host={address.host} port={address.port} user={ours.writer.user} "
        f"password={ours.writer.password.get_secret_value()} dbname={sender}"  # type: ignore[union-attr] # it has one
    )
    async with session(ours.writer.with_database(receiver)) as subscriber:
        await subscriber.execute(table)
        await subscriber.execute(
            f"CREATE SUBSCRIPTION \"my sub\" CONNECTION '{to}' PUBLICATION items "
            "WITH (create_slot = false, slot_name = sub)"
        )
        yield subscriber
        await subscriber.execute(
            'ALTER SUBSCRIPTION "my sub" DISABLE; '
            'ALTER SUBSCRIPTION "my sub" SET (slot_name = NONE); '
            'DROP SUBSCRIPTION "my sub"'
        )
    async with session(ours.writer) as writer:
        await until_true(
            writer,
            "SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'sub'",
        )
        await writer.execute("SELECT pg_drop_replication_slot('sub')")
        for name in sender, receiver:
            await writer.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def receiving(pair: Pair, user: str | None = None) -> Diagnosis:
    return await diagnosed(leading_to(pair, user=user), "D19")


async def test_a_subscription_is_down_without_a_worker_and_fine_when_disabled(
    ours: Pair, subscribed: Connection
) -> None:
    healthy = await until(lambda: receiving(ours), Status.OK)
    assert "receiving: 1" in healthy.summary
    await subscribed.execute(
        'ALTER SUBSCRIPTION "my sub" CONNECTION '
        "'host=127.0.0.1 port=1 password=hunter2 dbname=sender'"
    )
    down = await until(lambda: receiving(ours, user="plain"), Status.FAIL)
    finding = about(down, '"my sub"')
    assert finding.database == "receiver"
    assert "hunter2" not in down.model_dump_json()
    assert finding.remedy
    await subscribed.fetch(finding.remedy)
    await subscribed.execute('ALTER SUBSCRIPTION "my sub" DISABLE')
    disabled = await until(lambda: receiving(ours), Status.OK)
    assert (disabled.summary[-11:], disabled.findings) == ("disabled: 1", ())


async def test_a_subscription_that_an_error_has_disabled_is_a_warning(
    ours: Pair, subscribed: Connection
) -> None:
    await until(lambda: receiving(ours), Status.OK)
    await subscribed.execute(
        'ALTER SUBSCRIPTION "my sub" SET (disable_on_error = true); '
        "INSERT INTO item VALUES (1)"
    )
    async with session(ours.writer.with_database("sender")) as publisher:
        await publisher.execute("INSERT INTO item VALUES (1)")
    found = await until(lambda: receiving(ours), Status.WARN)
    assert about(found, '"my sub"').remedy == 'ALTER SUBSCRIPTION "my sub" ENABLE'


async def test_a_standby_in_the_writers_place_counts_nothing(ours: Pair) -> None:
    url = ours.reader.url(show_password=True)
    there = Connectors(load_settings(flags={"database_url": url}))
    for check_id in "D16", "D19":
        assert not (await diagnosed(there, check_id)).applies
    for check_id in "D27", "D28":
        assert (await diagnosed(there, check_id)).status is Status.UNKNOWN
