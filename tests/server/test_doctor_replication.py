"""Readers that are late, cut off, paused or in the way, and those that only look so."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from dbops.endpoint import Address
from dbops.engine.connect import Connectors
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.doctor import Diagnosis
from dbops.operations.doctor.answer import Severity
from dbops.results import Status
from tests.conftest import installed_postgresql
from tests.server.aurora import REFUSED, aurora, logged
from tests.server.doctored import about, diagnosed, leading_to, make_roles, until
from tests.server.standbys import (
    ask,
    between,
    cascaded,
    configured,
    cut_off,
    on,
    paused,
    programs_of,
)
from tests.server.standbys import until as until_true

GRANT = "GRANT pg_read_all_stats TO plain"
IDS = ("D12", "D13", "D14", "D17")


@pytest.fixture(scope="module", params=["embedded", "installed"])
async def ours(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """A pair of our own, because these tests break it: 18, and the system's own."""
    pg_bin = installed_postgresql() if request.param == "installed" else None
    async with throwaway(pg_bin=pg_bin) as pair:
        await make_roles(pair)
        await ask(pair.writer, "CREATE TABLE written (n int)")
        yield pair


async def asked(
    pair: Pair, check_id: str, *, user: str | None = None, **limits: str
) -> Diagnosis:
    return await diagnosed(leading_to(pair, user=user), check_id, **limits)


async def healthy(pair: Pair, check_id: str) -> Diagnosis:
    found = await until(lambda: asked(pair, check_id), Status.OK)
    assert found.applies
    assert not found.findings
    return found


async def write(pair: Pair) -> None:
    async with on(pair.writer) as writer:
        await writer.execute("INSERT INTO written VALUES (1)")


@pytest.mark.parametrize("check_id", IDS)
@pytest.mark.parametrize("user", [None, "monitor"])
async def test_a_healthy_reader_has_no_findings(
    ours: Pair, check_id: str, user: str | None
) -> None:
    await write(ours)
    await healthy(ours, check_id)
    found = await asked(ours, check_id, user=user)
    assert (found.status, found.findings, found.requires) == (Status.OK, (), None)


@pytest.mark.parametrize(
    ("check_id", "status", "requires"),
    [
        ("D12", Status.OK, None),
        ("D13", Status.UNKNOWN, GRANT),
        ("D14", Status.UNKNOWN, GRANT),
        ("D17", Status.OK, None),
    ],
)
async def test_a_plain_role_is_told_what_it_may_not_see(
    ours: Pair, check_id: str, status: Status, requires: str | None
) -> None:
    await healthy(ours, "D12")
    found = await asked(ours, check_id, user="plain")
    assert (found.status, found.requires) == (status, requires)
    if check_id == "D17":
        assert GRANT in found.notes[0]


@pytest.mark.parametrize("check_id", IDS)
async def test_without_a_reader_there_is_nothing_to_ask(
    ours: Pair, check_id: str
) -> None:
    found = await diagnosed(leading_to(ours, only_writer=True), check_id)
    # The writer still knows who receives from it.
    assert found.applies == (check_id == "D14")
    assert found.status is Status.OK


@pytest.mark.parametrize("check_id", IDS)
async def test_a_reader_that_is_gone_is_unknown(ours: Pair, check_id: str) -> None:
    gone = replace(ours.reader, addresses=(Address("127.0.0.1", 1),))
    found = await diagnosed(between(ours.writer, gone), check_id)
    assert found.status is Status.UNKNOWN


async def test_a_reader_that_is_the_writer_is_neither_late_nor_missing(
    ours: Pair,
) -> None:
    same = between(ours.writer, ours.writer)
    for check_id in ("D12", "D13", "D17"):
        assert not (await diagnosed(same, check_id)).applies
    assert (await diagnosed(same, "D14")).status is Status.OK


async def test_a_commit_that_waits_in_a_paused_reader_is_late(ours: Pair) -> None:
    await healthy(ours, "D12")
    async with paused(ours.reader):
        # Nothing is pending yet: it is as fresh as can be, and about to be wrong.
        assert (await asked(ours, "D12", value="300ms,800ms")).status is Status.OK
        flow = await asked(ours, "D13")
        assert flow.status is Status.WARN
        remedy = about(flow, "replay").remedy
        assert remedy is not None
        assert "pg_wal_replay_resume()" in remedy
        await write(ours)
        late = await asked(ours, "D12", value="300ms,800ms")
        (finding,) = late.findings
        assert (late.status, finding.severity) == (Status.FAIL, Severity.FAIL)
        assert "its replay is paused" in finding.message
        assert finding.object == str(ours.reader.addresses[0])
        # By bytes, long before it is late by the clock.
        hurried = Connectors(leading_to(ours).settings.with_timeout(4.0))
        small = await diagnosed(hurried, "D12", value="1m,1h", bytes="1B,10B")
        assert small.status is Status.FAIL
        # Attached it is all the same.
        assert (await asked(ours, "D14")).status is Status.OK
    await healthy(ours, "D13")


async def test_a_reader_that_is_cut_off_is_told(ours: Pair) -> None:
    await healthy(ours, "D14")
    async with cut_off(ours.reader):
        flow, attached = await asked(ours, "D13"), await asked(ours, "D14")
        fresh = await asked(ours, "D12", value="300ms,800ms")
    assert (flow.status, attached.status) == (Status.FAIL, Status.FAIL)
    assert "nothing is being received" in about(flow, "WAL receiver").message
    assert "is not attached" in about(attached, "reader").message
    # Of an idle writer it lacks nothing.
    assert fresh.status is Status.OK
    await healthy(ours, "D14")


@pytest.mark.parametrize(
    ("delay", "status", "severity"),
    [("7s", Status.WARN, Severity.WARN), ("1s", Status.OK, Severity.INFO)],
)
async def test_a_delay_is_as_bad_as_it_is_long(
    ours: Pair, delay: str, status: Status, severity: Severity
) -> None:
    await healthy(ours, "D12")
    async with configured(ours.reader, "recovery_min_apply_delay", delay):
        await until_true(
            ours.reader,
            f"SELECT current_setting('recovery_min_apply_delay') = '{delay}'",
        )
        found = await asked(ours, "D13")
    assert found.status is status
    assert about(found, "recovery_min_apply_delay").severity is severity


async def test_a_base_backup_is_no_standby_that_streams(
    ours: Pair, request: pytest.FixtureRequest
) -> None:
    await healthy(ours, "D14")
    installed = "installed" in request.node.name
    programs = await programs_of(installed_postgresql() if installed else None)
    address = ours.writer.addresses[0]
    backup = await asyncio.create_subprocess_exec(
        programs.path("pg_basebackup"),
        *("-D", "-", "-F", "t", "-X", "none", "-c", "fast", "--max-rate=32k"),
        *("-h", address.host, "-p", str(address.port), "-U", str(ours.writer.user)),
        env={"PGPASSWORD": _password(ours)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        state = "SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'backup'"
        await until_true(ours.writer, state)
        found = await asked(ours, "D14")
    finally:
        backup.kill()
        await backup.wait()
    assert found.status is Status.WARN
    assert "base backup" in about(found, "pg_basebackup at 127.0.0.1").message
    await healthy(ours, "D14")


def _password(pair: Pair) -> str:
    assert pair.writer.password is not None
    return pair.writer.password.get_secret_value()


async def test_a_reader_below_another_is_attached_where_it_is() -> None:
    async with throwaway() as pair, cascaded(pair) as third:
        ways = between(pair.writer, third)
        found = await diagnosed(ways, "D14")
        flow = await diagnosed(ways, "D13")
    assert (found.status, flow.status) == (Status.OK, Status.OK)
    assert str(pair.reader.addresses[0].port) in found.notes[0]


async def test_a_query_that_the_replay_waits_for_is_named(ours: Pair) -> None:
    await healthy(ours, "D17")
    async with on(ours.reader) as reader:
        pid = await reader.fetchval("SELECT pg_backend_pid()")
        await reader.execute("BEGIN")
        await reader.execute("SELECT * FROM written")
        # To read is no conflict.
        assert (await asked(ours, "D17")).status is Status.OK
        await ask(ours.writer, "TRUNCATE written")
        waits = (
            "SELECT count(*) = 1 FROM pg_stat_activity"
            " WHERE backend_type = 'startup' AND wait_event_type = 'Lock'"
        )
        await until_true(ours.reader, waits)
        found = await asked(ours, "D17")
        await reader.execute("ROLLBACK")
    assert found.status is Status.WARN
    assert about(found, "replay").remedy == f"SELECT pg_cancel_backend({pid})"
    await healthy(ours, "D17")


async def test_queries_that_are_cancelled_now_are_told_and_old_ones_are_not(
    ours: Pair,
) -> None:
    await healthy(ours, "D17")
    async with configured(ours.reader, "max_standby_streaming_delay", "0"):
        asking = asyncio.create_task(until(lambda: asked(ours, "D17"), Status.WARN))
        while not asking.done():
            with contextlib.suppress(Exception):
                async with on(ours.reader) as reader:
                    await reader.execute("BEGIN")
                    await reader.execute("SELECT * FROM written")
                    await ask(ours.writer, "TRUNCATE written")
                    await asyncio.sleep(0.1)
        found = await asking
    assert "cancelled" in found.findings[0].message
    calm = await healthy(ours, "D17")
    # They are counted, and nobody is alarmed by what is over.
    assert not calm.summary.endswith(": 0")


async def test_aurora_is_asked_for_its_own_word_alone(ours: Pair) -> None:
    async with aurora(ours) as places:
        ways = between(*places)
        found = [await diagnosed(ways, check_id) for check_id in IDS]
        said = logged(ours)
    assert found[0].status is Status.OK
    assert "Aurora" in found[0].summary
    assert [it.applies for it in found] == [True, False, False, False]
    assert [name for name in REFUSED if name in said] == []


async def test_the_doctor_asks_over_two_connections(ours: Pair) -> None:
    ways: Connectors = leading_to(ours)
    busy = asyncio.create_task(diagnosed(ways, "D12", value="2s,3s"))
    most = 0
    async with on(ours.writer) as writer, on(ours.reader) as reader:
        while not busy.done():
            for server in (writer, reader):
                count = await server.fetchval(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'dbops%'"
                    " AND pid <> pg_backend_pid()"
                )
                most = max(most, int(count))
    await busy
    assert most <= 1
