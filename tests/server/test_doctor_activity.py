"""Transactions that last, hold and block, and those that only look like it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from dbops.engine.connect import Connection
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.doctor.answer import Severity
from dbops.results import Status
from tests.conftest import installed_postgresql
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
    """A pair of our own, because sessions of others would be found too."""
    settings = {
        "wal_level": "logical",
        "max_prepared_transactions": "5",
        "autovacuum_naptime": "1h",
        "wal_receiver_status_interval": "1s",
    }
    pg_bin = installed_postgresql() if request.param == "installed" else None
    async with throwaway(pg_bin=pg_bin, settings=settings) as pair:
        await make_roles(pair)
        async with session(pair.writer) as writer:
            await writer.execute(
                'CREATE SCHEMA "my shop"; CREATE TABLE "my shop".item '
                "AS SELECT n, 0 AS price FROM generate_series(1, 20000) n"
            )
            token = await writer.fetchval("SELECT pg_current_wal_lsn()::text")
        async with session(pair.reader) as reader:
            await until_true(reader, f"SELECT pg_last_wal_replay_lsn() >= '{token}'")
        yield pair


@asynccontextmanager
async def running(connection: Connection, statement: str) -> AsyncGenerator[None]:
    """Let a statement run for the block; it may not end by itself."""
    task = asyncio.create_task(connection.execute(statement))
    try:
        yield
    finally:
        connection.terminate()
        await asyncio.gather(task, return_exceptions=True)


async def seen(pair: Pair, connection: Connection, condition: str) -> None:
    """Wait until somebody else's view of a session meets a condition."""
    pid = connection.get_server_pid()
    async with session(pair.writer) as other:
        await until_true(
            other,
            f"SELECT bool_or({condition}) FROM pg_stat_activity WHERE pid = {pid}",  # noqa: S608 # ours
        )


def pid_of(connection: Connection) -> str:
    return f"pid {connection.get_server_pid()}"


async def test_a_long_transaction_is_reported_and_its_remedy_ends_it(
    ours: Pair,
) -> None:
    async with session(ours.writer, "report") as somebody:
        await somebody.execute("BEGIN; SELECT 1")
        short = await diagnosed(leading_to(ours), "D20")
        long = await diagnosed(leading_to(ours, user="monitor"), "D20", value="0s,0s")
        assert (short.status, short.findings) == (Status.OK, ())
        finding = about(long, pid_of(somebody))
        assert (long.status, finding.role) == (Status.FAIL, "writer")
        assert "report in postgres" in finding.message
        async with session(ours.writer) as other:
            assert finding.remedy
            await other.execute(finding.remedy)
        await until(lambda: diagnosed(leading_to(ours), "D20", value="0s"), Status.OK)


async def test_a_long_transaction_on_the_reader_is_seen_there(ours: Pair) -> None:
    async with session(ours.reader) as somebody:
        await somebody.execute("BEGIN; SELECT 1")
        found = await diagnosed(leading_to(ours), "D20", value="0s")
        assert about(found, pid_of(somebody)).role == "reader"


async def test_a_long_vacuum_is_no_long_transaction(ours: Pair) -> None:
    async with session(ours.writer) as somebody:
        await somebody.execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1")
        vacuum = '/* nightly */ -- by us\nVACUUM (FREEZE) "my shop".item'
        async with running(somebody, vacuum):
            pid = somebody.get_server_pid()
            async with session(ours.writer) as other:
                await until_true(
                    other,
                    f"SELECT {pid} IN (SELECT pid FROM pg_stat_progress_vacuum)",  # noqa: S608 # ours
                )
                # It has a horizon, and that holds nobody back.
                await other.execute("BEGIN; SELECT pg_current_xact_id(); ROLLBACK")
            for check_id, limit in ("D20", "0s"), ("D24", "1"):
                monitor = leading_to(ours, user="monitor")
                found = await diagnosed(monitor, check_id, value=limit)
                assert pid_of(somebody) not in {it.object for it in found.findings}


async def test_a_transaction_that_is_idle_after_an_analyze_is_no_maintenance(
    ours: Pair,
) -> None:
    async with session(ours.writer) as somebody:
        await somebody.execute("BEGIN")
        await somebody.execute('ANALYZE "my shop".item')
        found = await diagnosed(leading_to(ours), "D20", value="0s")
        assert about(found, pid_of(somebody)).severity is Severity.WARN


@pytest.mark.parametrize("check_id", ["D20", "D21", "D24"])
async def test_what_others_do_is_unknown_to_a_plain_role(
    ours: Pair, check_id: str
) -> None:
    async with session(ours.writer) as somebody:
        await somebody.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        found = await diagnosed(leading_to(ours, user="plain"), check_id)
        assert found.status is Status.UNKNOWN
        assert found.requires == "GRANT pg_read_all_stats TO plain"


@pytest.mark.parametrize(
    ("statements", "severity"),
    [
        ("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1", Severity.FAIL),
        ("BEGIN; DECLARE c CURSOR FOR SELECT 1; FETCH c", Severity.FAIL),
        ("BEGIN; SELECT pg_current_xact_id()", Severity.FAIL),
        ('BEGIN; SELECT count(*) FROM "my shop".item', Severity.WARN),
        ("BEGIN", Severity.WARN),
    ],
    ids=["snapshot", "cursor", "changes", "locks", "nothing"],
)
async def test_what_an_idle_transaction_holds_decides_how_bad_it_is(
    ours: Pair, statements: str, severity: Severity
) -> None:
    async with session(ours.writer) as somebody:
        await somebody.execute(statements)
        found = await diagnosed(leading_to(ours, user="monitor"), "D21", value="0s,0s")
        finding = about(found, pid_of(somebody))
        assert finding.severity is severity
        assert finding.remedy == f"SELECT pg_terminate_backend({pid_of(somebody)[4:]})"
        assert (await diagnosed(leading_to(ours), "D21")).status is Status.OK


async def test_neither_an_idle_session_nor_a_busy_one_is_idle_in_a_transaction(
    ours: Pair,
) -> None:
    async with session(ours.writer) as idle, session(ours.writer) as busy:
        await idle.execute("SELECT 1")
        async with running(busy, "BEGIN; SELECT pg_sleep(60)"):
            await seen(ours, busy, "state = 'active'")
            found = await diagnosed(leading_to(ours), "D21", value="0s,0s")
            assert (found.status, found.findings) == (Status.OK, ())


async def test_an_aborted_transaction_is_idle_and_holds_nothing(ours: Pair) -> None:
    async with session(ours.reader) as somebody:
        await somebody.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        await asyncio.gather(somebody.execute("SELECT 1/0"), return_exceptions=True)
        found = await diagnosed(leading_to(ours), "D21", value="0s,0s")
        finding = about(found, pid_of(somebody))
        assert (finding.severity, finding.role) == (Severity.WARN, "reader")


@asynccontextmanager
async def copying(pair: Pair) -> AsyncGenerator[None]:
    """Hold the snapshot of a subscriber's first copy, which only a walsender can."""
    program = await asyncio.create_subprocess_exec(
        installed_postgresql() / "psql",
        f"{pair.writer.url(show_password=True)}&replication=database",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert program.stdin
    program.stdin.write(
        b"CREATE_REPLICATION_SLOT copy TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT;\n"
    )
    try:
        async with session(pair.writer) as writer:
            await until_true(
                writer,
                "SELECT bool_or(state = 'idle in transaction') "
                "FROM pg_stat_activity WHERE backend_type = 'walsender'",
            )
        yield
    finally:
        program.stdin.close()
        await program.wait()


async def test_a_walsenders_snapshot_is_no_clients_transaction(ours: Pair) -> None:
    async with copying(ours):
        for check_id in "D20", "D21":
            found = await diagnosed(leading_to(ours), check_id, value="0s")
            assert (found.status, found.findings) == (Status.OK, ())


WANTS_ALL = 'ALTER TABLE "my shop".item ADD COLUMN added int'


@pytest.mark.parametrize("user", [None, "plain"])
async def test_a_lock_queue_behind_ddl_names_who_is_at_its_root(
    ours: Pair, user: str | None
) -> None:
    async with (
        session(ours.writer, "report") as root,
        session(ours.writer) as ddl,
        session(ours.writer) as queued,
    ):
        pids = [pid_of(it) for it in (root, ddl, queued)]
        await root.execute('BEGIN; SELECT count(*) FROM "my shop".item')
        async with running(ddl, f"BEGIN; {WANTS_ALL}"):
            await seen(ours, ddl, "wait_event_type = 'Lock'")
            async with running(queued, 'SELECT count(*) FROM "my shop".item'):
                await seen(ours, queued, "wait_event_type = 'Lock'")
                connectors = leading_to(ours, user=user)
                short = await diagnosed(connectors, "D22")
                long = await diagnosed(connectors, "D22", exclusive="0s,0s")
    assert (short.status, short.findings) == (Status.OK, ())
    assert "waiting for a lock: 2" in short.summary
    (finding,) = long.findings
    assert (long.status, finding.object) == (Status.FAIL, pids[0])
    assert finding.message.startswith("report in postgres, ")
    waits = finding.message.split(": ")[1]
    first, second = waits.split(", ")
    assert first.startswith(f"{pids[1]} has waited ")
    assert first.endswith(' for AccessExclusiveLock on "my shop".item')
    assert second.startswith(f"{pids[2]} has waited ")
    behind = f" behind {pids[1][4:]} for AccessShareLock on "
    assert second.endswith(f'{behind}"my shop".item')
    assert finding.remedy == f"SELECT pg_terminate_backend({pids[0][4:]})"


async def test_a_wait_for_a_row_is_graded_as_any_wait(ours: Pair) -> None:
    update = 'UPDATE "my shop".item SET price = 1 WHERE n = 1'
    async with (
        session(ours.writer) as root,
        session(ours.writer) as first,
        session(ours.writer) as second,
    ):
        culprit = pid_of(root)
        await root.execute(f"BEGIN; {update}")
        async with running(first, update):
            await seen(ours, first, "wait_event_type = 'Lock'")
            # The second waits for the row itself, which looks like ACCESS EXCLUSIVE.
            async with running(second, 'DELETE FROM "my shop".item WHERE n = 1'):
                await seen(ours, second, "wait_event = 'tuple'")
                as_ddl = await diagnosed(leading_to(ours), "D22", exclusive="0s,0s")
                as_any = await diagnosed(leading_to(ours), "D22", value="0s")
    assert (as_ddl.status, as_ddl.findings) == (Status.OK, ())
    assert about(as_any, culprit).severity is Severity.WARN


async def test_a_lock_that_nobody_else_wants_is_no_finding(ours: Pair) -> None:
    async with session(ours.writer) as somebody:
        await somebody.execute(f"BEGIN; {WANTS_ALL}")
        found = await diagnosed(leading_to(ours), "D22", value="0s", exclusive="0s,0s")
        assert (found.status, found.findings) == (Status.OK, ())


async def test_the_replay_that_a_reader_blocks_is_seen(ours: Pair) -> None:
    async with session(ours.reader) as somebody, session(ours.writer) as writer:
        await somebody.execute('BEGIN; SELECT count(*) FROM "my shop".item')
        await writer.execute(WANTS_ALL)
        found = await until(
            lambda: diagnosed(leading_to(ours), "D22", exclusive="0s,0s"), Status.FAIL
        )
        finding = about(found, pid_of(somebody))
        assert finding.role == "reader"
        await somebody.execute("ROLLBACK")
        await writer.execute('ALTER TABLE "my shop".item DROP COLUMN added')


@asynccontextmanager
async def prepared(pair: Pair, gid: str) -> AsyncGenerator[Connection]:
    """Leave a prepared transaction behind that has locked and changed a table."""
    async with session(pair.writer) as writer:
        quoted = await writer.fetchval("SELECT quote_literal($1::text)", gid)
        await writer.execute(f"BEGIN; {WANTS_ALL}; PREPARE TRANSACTION {quoted}")
        try:
            yield writer
        finally:
            for row in await writer.fetch("SELECT gid FROM pg_prepared_xacts"):
                quoted = await writer.fetchval(
                    "SELECT quote_literal($1::text)", row["gid"]
                )
                await writer.execute(f"ROLLBACK PREPARED {quoted}")


async def test_a_prepared_transaction_at_the_root_is_named(ours: Pair) -> None:
    async with (
        prepared(ours, "it's forgotten") as writer,
        session(ours.writer) as queued,
        running(queued, 'SELECT count(*) FROM "my shop".item'),
    ):
        await writer.execute(
            "BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'innocent'"
        )
        await seen(ours, queued, "wait_event_type = 'Lock'")
        found = await diagnosed(leading_to(ours), "D22", value="0s")
        finding = about(found, "prepared 'it''s forgotten'")
        assert finding.remedy == "ROLLBACK PREPARED 'it''s forgotten'"
        await writer.execute(finding.remedy)


async def test_a_forgotten_prepared_transaction_is_reported(ours: Pair) -> None:
    async with prepared(ours, "it's\n[red]forgotten\\") as writer:
        connectors = leading_to(ours, user="plain")
        young = await diagnosed(connectors, "D23")
        assert (young.status, young.findings) == (Status.OK, ())
        old = await diagnosed(connectors, "D23", value="0s,0s")
        assert old.status is Status.FAIL
        (finding,) = old.findings
        assert finding.database == "postgres"
        assert finding.remedy
        await writer.execute(finding.remedy)
        assert "no prepared transaction" in (await diagnosed(connectors, "D23")).summary


async def spend(writer: Connection, transactions: int = 20) -> None:
    """Let transactions pass, so that a horizon is behind."""
    await writer.execute(
        "DO $$BEGIN FOR i IN 1.." + str(transactions) + " LOOP "
        "PERFORM pg_current_xact_id(); COMMIT; END LOOP; END$$"
    )


async def test_the_session_that_holds_vacuum_back_is_named(ours: Pair) -> None:
    async with session(ours.writer, "export") as holder, session(ours.writer) as other:
        await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        await spend(other)
        near = await diagnosed(leading_to(ours), "D24")
        assert (near.status, near.findings) == (Status.OK, ())
        assert near.summary.startswith("the oldest horizon is 2")
        far = await diagnosed(leading_to(ours, user="monitor"), "D24", value="20,20")
        finding = about(far, pid_of(holder))
        assert finding.severity is Severity.FAIL
        assert finding.message.startswith("held by export in postgres, idle in")
        assert finding.remedy == f"SELECT pg_terminate_backend({pid_of(holder)[4:]})"


async def test_the_slot_that_holds_vacuum_back_is_named(ours: Pair) -> None:
    async with session(ours.writer) as writer:
        await writer.execute(
            "SELECT pg_create_logical_replication_slot('feed', 'pgoutput')"
        )
        await spend(writer)
        found = await diagnosed(leading_to(ours), "D24", value="20")
        finding = about(found, "slot feed")
        assert finding.remedy == "SELECT pg_drop_replication_slot('feed')"
        await writer.execute(finding.remedy)


async def test_the_prepared_transaction_that_holds_vacuum_back_is_named(
    ours: Pair,
) -> None:
    async with prepared(ours, "old one") as writer:
        await spend(writer)
        found = await diagnosed(leading_to(ours), "D24", value="20")
        assert about(found, "prepared 'old one'").remedy == (
            "ROLLBACK PREPARED 'old one'"
        )


@pytest.mark.parametrize("slot", ["reader", ""])
async def test_the_standby_that_holds_vacuum_back_is_named(
    ours: Pair, slot: str
) -> None:
    async with (
        configured(ours.reader, primary_slot_name=slot),
        session(ours.writer) as writer,
        session(ours.reader) as holder,
    ):
        await until_true(
            writer,
            "SELECT active FROM pg_replication_slots WHERE slot_name = 'reader'"
            if slot
            else "SELECT NOT active FROM pg_replication_slots",
        )
        await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        await spend(writer)
        async with asyncio.timeout(30):
            while True:
                found = await diagnosed(leading_to(ours), "D24", value="20")
                named = [it for it in found.findings if "standby" in it.message]
                if named:
                    break
                await asyncio.sleep(0.05)
        assert all(it.remedy is None for it in named)
        assert not [it for it in found.findings if it.object.startswith("pid ")]
        holders = {it.object.split(" of ")[0] for it in named}
        assert holders == {"slot reader" if slot else "standby"}
