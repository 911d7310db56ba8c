"""One migrator at a time, whatever env.py does and however the others end."""

import asyncio
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from dbops.engine.connect import Connection, connect
from tests.conftest import Served
from tests.faults.migrators import (
    COUNT,
    CROWD,
    KINDS,
    LOCKED,
    VARIANTS,
    asked,
    counted,
    holds,
    migrator,
    running,
    sync_env,
    until,
    write_env,
    write_project,
)
from tests.revisions import write_revision

OWN_TRANSACTION = "one transaction"
INVALID = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_index WHERE NOT indisvalid"
VERSION = "SELECT version_num FROM alembic_version"
# Ends at once when there is no row in it.
AT_WORK = """
    SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity
     WHERE datname = pg_catalog.current_database() AND state = 'active'
       AND query LIKE 'DO %'
"""
AT_THE_GATE = "op.execute('SELECT pg_sleep(600) FROM gate')"
GATE = "CREATE TABLE gate AS SELECT 1 AS n"


@pytest.mark.parametrize("kind", KINDS)
async def test_eight_processes_at_once_all_succeed_and_apply_each_step_once(
    served: Served, tmp_path: Path, kind: str
) -> None:
    steps = dict(VARIANTS)
    if kind == OWN_TRANSACTION:  # Alembic itself cannot leave that either
        del steps["concurrently"], steps["autocommit data"]
    write_project(tmp_path, kind)
    for down, name, step in zip("abcd", "bcde", steps.values(), strict=False):
        write_revision(tmp_path, f"{name}1", f"{down}1", step)
    racing = [migrator(tmp_path, served) for _ in range(8)]
    ended = await asyncio.gather(*(it.ended() for it in racing))
    assert [it.code for it in ended] == [0] * 8, [it.err for it in ended]
    applied = Counter(
        step["revision"] for it in ended for step in it.json["result"]["applied"]
    )
    assert applied == dict.fromkeys(["a1", "b1", "c1", "d1", "e1"][: 1 + len(steps)], 1)
    assert await counted(served) == (1 if kind == OWN_TRANSACTION else 2)
    assert await asked(served, INVALID) == 0


@pytest.mark.parametrize("kind", ["psycopg", "asyncpg"])
async def test_seven_waiters_do_not_stand_in_the_way_of_a_concurrent_index(
    served: Served, tmp_path: Path, kind: str
) -> None:
    write_project(tmp_path, kind)
    assert (await migrator(tmp_path, served).ended()).code == 0
    write_revision(tmp_path, "b2", "a1", VARIANTS["concurrently"])
    writer, watcher = [await connect(served.writer) for _ in range(2)]
    try:
        await writer.execute("BEGIN; UPDATE counter SET n = n")
        builder = migrator(tmp_path, served)
        await holds(watcher, running("CREATE INDEX CONCURRENTLY"))
        waiters = [migrator(tmp_path, served) for _ in range(7)]
        # The builder, seven waiters, and the two of ours that are not the watcher's.
        await holds(watcher, f"{CROWD} >= 9")
        await writer.execute("COMMIT")
        ended = await asyncio.gather(*(it.ended(20) for it in (builder, *waiters)))
    finally:
        await writer.close()
        await watcher.close()
    assert [it.code for it in ended] == [0] * 8, [it.err for it in ended]
    assert await asked(served, INVALID) == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_the_next_takes_over_from_a_killed_one_and_applies_each_step_once(
    served: Served, tmp_path: Path, kind: str
) -> None:
    # The tests' own server would notice a death by itself; by default none does.
    never = "SET client_connection_check_interval = 0"
    await asked(served, f'ALTER DATABASE "{served.name}" {never}')
    await asked(served, GATE)
    write_project(tmp_path, kind)
    write_revision(tmp_path, "b2", "a1", f"{COUNT}\n{AT_THE_GATE}")
    write_revision(tmp_path, "c3", "b2", COUNT)
    killed = migrator(tmp_path, served)
    await until(served, running("FROM gate"))
    following = [migrator(tmp_path, served) for _ in range(2)]
    await until(served, f"{CROWD} >= 3")
    killed.send(signal.SIGKILL)
    assert (await killed.ended()).code == -signal.SIGKILL
    await asked(served, "DELETE FROM gate")
    ended = await asyncio.gather(*(it.ended(20) for it in following))
    assert [it.code for it in ended] == [0, 0], [it.err for it in ended]
    assert await counted(served) == 2
    assert await asked(served, VERSION) == "c3"


async def test_nobody_takes_over_before_a_killed_ones_statement_has_ended(
    served: Served, tmp_path: Path
) -> None:
    # Such a server does not notice that its client has gone.
    unnoticing = sync_env().replace(
        'prefix="sqlalchemy."',
        'connect_args={"options": "-c client_connection_check_interval=0"},'
        ' prefix="sqlalchemy."',
    )
    write_env(tmp_path, unnoticing)
    step = "DO 'BEGIN PERFORM pg_sleep(1.5); UPDATE counter SET n = n + 1; END'"
    write_revision(
        tmp_path,
        "b2",
        "a1",
        f"with op.get_context().autocommit_block():\n    op.execute({step!r})",
    )
    killed = migrator(tmp_path, served)
    await until(served, running("PERFORM"))
    following = migrator(tmp_path, served)
    await until(served, f"{CROWD} >= 2")
    killed.send(signal.SIGKILL)
    await killed.ended()
    watcher = await connect(served.writer)
    while await watcher.fetchval("SELECT n FROM counter") == 0:
        assert await watcher.fetchval(AT_WORK) <= 1
        await asyncio.sleep(0.01)
    await watcher.close()
    assert (await following.ended()).code == 0
    # The dead one's step is there, and its revision was never noted.
    assert await counted(served) == 2


@pytest.mark.parametrize("kind", KINDS)
async def test_killed_at_a_random_point_the_next_run_ends_at_the_same_schema(
    served: Served, tmp_path: Path, kind: str
) -> None:
    write_project(tmp_path, kind)
    for down, name in zip("abc", "bcd", strict=True):
        step = f"{COUNT}\nop.execute('CREATE TABLE {name} (n int)')"
        slow = f"op.execute('SELECT pg_sleep(0.05)')\n{step}"
        write_revision(tmp_path, f"{name}1", f"{down}1", slow)
    for _ in range(3):
        killed = migrator(tmp_path, served)
        await asyncio.sleep(random.uniform(0.05, 0.7))  # noqa: S311 # no secret
        killed.send(signal.SIGKILL)
        await killed.ended()
    last = await migrator(tmp_path, served).ended()
    assert last.code == 0, last.err
    assert await counted(served) == 3
    assert await asked(served, VERSION) == "d1"


POINTS = {
    "in a statement": (AT_THE_GATE, running("FROM gate")),
    "waiting for a table": (
        "op.execute('ALTER TABLE held ADD x int')",
        running("held"),
    ),
    "building an index": (
        """
        with op.get_context().autocommit_block():
            op.execute('CREATE INDEX CONCURRENTLY held_n ON held (n)')
        """,
        running("CREATE INDEX CONCURRENTLY"),
    ),
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", ["dbops init's", "psycopg", "asyncpg"])
async def test_a_signal_ends_the_statement_rolls_back_and_unlocks(
    served: Served, tmp_path: Path, kind: str, point: str
) -> None:
    number = random.choice([signal.SIGTERM, signal.SIGINT])  # noqa: S311 # no secret
    await asked(served, GATE)
    await asked(served, "CREATE TABLE held (n int)")
    step, reached = POINTS[point]
    write_project(tmp_path, kind)
    write_revision(tmp_path, "b2", "a1", f"{COUNT}\n{step.strip()}")
    if point == "building an index":
        write_revision(tmp_path, "b2", "a1", step)
    holder = await connect(served.writer)
    try:
        await holder.execute("BEGIN; INSERT INTO held VALUES (1)")
        ended = migrator(tmp_path, served)
        await until(served, reached)
        ended.send(number)
        ran = await ended.ended(3)
        assert ran.code == 128 + number, ran.err
        assert number.name in ran.json["error"]["message"]
        await until(served, f"{CROWD} = 1", limit_s=1)  # the holder's own
        assert await asked(served, f"SELECT {LOCKED}") is False
    finally:
        await holder.close()
    assert await counted(served) == 0
    assert await asked(served, VERSION) == "a1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_signal_ends_the_waiting_for_the_lock(
    served: Served, tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    write_project(tmp_path, kind)
    holder = await locked(served)
    try:
        waiting = migrator(tmp_path, served)
        # Once it is connected it waits, or is about to.
        await until(served, f"{CROWD} >= 2")
        waiting.send(number)
        ran = await waiting.ended(3)
        assert ran.code == 128 + number, ran.err
        await until(served, f"{CROWD} = 1", limit_s=1)
    finally:
        await holder.close()


HELD_UP = ("--lock-timeout", "300ms")


@pytest.mark.parametrize("kind", KINDS)
async def test_whoever_does_not_get_the_lock_in_time_names_its_holder(
    served: Served, tmp_path: Path, kind: str
) -> None:
    write_project(tmp_path, kind)
    holder = await locked(served)
    try:
        ran = await migrator(tmp_path, served, *HELD_UP).ended()
    finally:
        await holder.close()
    assert ran.code == 7
    pid = holder.get_server_pid()
    assert f"pid {pid} (other migrator from 127.0.0.1" in ran.json["error"]["message"]
    assert "idle since 20" in ran.json["error"]["message"]
    assert ran.json["error"]["retryable"] is True
    assert await asked(served, "SELECT to_regclass('counter')") is None


async def test_the_holder_is_one_that_runs_a_revision_when_it_does(
    served: Served, tmp_path: Path
) -> None:
    await asked(served, GATE)
    write_project(tmp_path, "dbops init's")
    write_revision(tmp_path, "b2", "a1", AT_THE_GATE)
    holder = migrator(tmp_path, served)
    await until(served, running("FROM gate"))
    ran = await migrator(tmp_path, served, *HELD_UP).ended()
    assert ran.code == 7
    assert "(dbops" in ran.json["error"]["message"]
    assert "active since 20" in ran.json["error"]["message"]
    holder.send(signal.SIGTERM)
    await holder.ended()


@pytest.mark.parametrize("kind", ["psycopg", "asyncpg"])
async def test_another_version_table_or_database_is_not_waited_for(
    served: Served, tmp_path: Path, kind: str
) -> None:
    other = f"{served.name}_other"
    write_project(tmp_path, kind)
    env = tmp_path / "migrations" / "env.py"
    holder = await locked(served)
    try:
        await holder.execute(f'CREATE DATABASE "{other}" TEMPLATE template0')
        elsewhere = served.writer.with_database(other).url(show_password=True)
        ran = await migrator(tmp_path, served, *HELD_UP, DATABASE_URL=elsewhere).ended()
        assert ran.code == 0, ran.out
        mine = "connection=connection, version_table='mine'"
        env.write_text(env.read_text().replace("connection=connection", mine))
        ran = await migrator(tmp_path, served, *HELD_UP).ended()
        assert ran.code == 0, ran.out
        await holder.execute(f'DROP DATABASE "{other}"')
    finally:
        await holder.close()
    assert await asked(served, "SELECT version_num FROM mine") == "a1"


async def locked(served: Served, table: str = "public.alembic_version") -> Connection:
    """Hold the migration lock."""
    holder = await connect(served.writer, application_name="other migrator")
    key = f"pg_catalog.hashtextextended('dbops:migrate:{table}', 0)"
    await holder.execute(f"SELECT pg_catalog.pg_advisory_lock({key})")
    return holder
