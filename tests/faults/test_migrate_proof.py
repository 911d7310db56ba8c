"""What is not known to be there is not called applied."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from dbops.engine.connect import connect
from dbops.local.throwaway import throwaway
from tests.conftest import Served
from tests.faults.migrators import (
    COUNT,
    LOCKED,
    asked,
    counted,
    migrator,
    running,
    sync_env,
    until,
    write_env,
    write_project,
)
from tests.faults.proxy import Proxy, proxy
from tests.revisions import write_revision

KINDS = ["dbops init's", "psycopg", "asyncpg"]
VERSION = "SELECT version_num FROM alembic_version"
REINDEX = "REINDEX INDEX CONCURRENTLY public.once"
STATUS = ("dbops", "status", "--format", "json")


AT_COMMIT = (
    "CREATE TABLE late (n int)",
    """
    CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.n > 1 THEN RAISE 'no'; END IF;
        PERFORM pg_sleep(3);
        RETURN NEW;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION take_long()
    """,
)


async def hold_up_commits(served: Served) -> None:
    """Make a table whose rows are looked at when they are committed."""
    for statement in AT_COMMIT:
        await asked(served, statement)


def concurrently(statement: str) -> str:
    """Return a revision that runs a statement outside of transactions."""
    return f"with op.get_context().autocommit_block():\n    op.execute({statement!r})"


@pytest.mark.parametrize("kind", KINDS)
async def test_an_index_that_failed_is_never_reported_as_built(
    served: Served, tmp_path: Path, kind: str
) -> None:
    write_project(tmp_path, kind)
    write_revision(tmp_path, "b2", "a1", "op.execute('INSERT INTO counter VALUES (0)')")
    create = "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS once ON counter (n)"
    write_revision(tmp_path, "c3", "b2", concurrently(create))
    first = await migrator(tmp_path, served).ended()
    assert first.code == 1
    assert "revision c3 failed half-way" in first.json["error"]["message"]
    assert "DROP INDEX CONCURRENTLY public.once" in first.json["error"]["hint"]
    for applied in (1, 0, 0):
        again = await migrator(tmp_path, served).ended()
        assert again.code == 1, again.out
        assert "index public.once is invalid" in again.json["error"]["message"]
        assert again.json["error"]["hint"] == "REINDEX INDEX CONCURRENTLY public.once"
        assert len(again.json["result"]["applied"]) == applied
        (index,) = again.json["result"]["invalid_indexes"]
        assert (index["name"], index["table"]) == ("public.once", "public.counter")
    await asked(served, "DELETE FROM counter WHERE ctid = '(0,1)'")
    await asked(served, REINDEX)
    assert (await migrator(tmp_path, served).ended()).code == 0


async def test_what_is_not_yet_proved_is_named_and_no_failure(
    served: Served, tmp_path: Path
) -> None:
    write_project(tmp_path, "psycopg")
    check = "ALTER TABLE counter ADD CONSTRAINT positive CHECK (n >= 0) NOT VALID"
    write_revision(tmp_path, "b2", "a1", f"op.execute({check!r})")
    for _ in range(2):
        ran = await migrator(tmp_path, served).ended()
        assert ran.code == 0, ran.out
        (constraint,) = ran.json["result"]["not_valid_constraints"]
        assert constraint["remedy"] == (
            "ALTER TABLE public.counter VALIDATE CONSTRAINT positive"
        )


async def test_an_index_that_lacks_a_partition_is_a_warning(
    served: Served, tmp_path: Path
) -> None:
    write_project(tmp_path, "psycopg")
    write_revision(
        tmp_path,
        "b2",
        "a1",
        """
        op.execute('CREATE TABLE part (n int) PARTITION BY LIST (n)')
        op.execute('CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1)')
        op.execute('CREATE INDEX part_n ON ONLY part (n)')
        """,
    )
    for _ in range(2):
        ran = await migrator(tmp_path, served).ended()
        assert (ran.code, ran.json["status"]) == (0, "warn"), ran.out
        (index,) = ran.json["result"]["invalid_indexes"]
        assert "public.part_1" in index["remedy"]


async def test_a_standby_a_newer_database_and_several_heads_are_told_apart(
    served: Served, tmp_path: Path
) -> None:
    write_project(tmp_path, "psycopg")
    write_revision(tmp_path, "b2", "a1", COUNT)
    write_revision(tmp_path, "c3", "a1", COUNT)
    several = await migrator(tmp_path, served).ended()
    (tmp_path / "migrations" / "versions" / "c3.py").unlink()
    assert (await migrator(tmp_path, served).ended()).code == 0
    (tmp_path / "migrations" / "versions" / "b2.py").unlink()
    newer = await migrator(tmp_path, served).ended()
    reader = served.environment["DATABASE_READER_URL"]
    standby = await migrator(tmp_path, served, DATABASE_URL=reader).ended()
    found = [it.json["error"] for it in (several, newer, standby)]
    assert [it.code for it in (several, newer, standby)] == [6, 6, 6]
    for error, words, remedy in zip(
        found,
        ("several heads", "ahead", "standby"),
        ("heads", "deploy", "writer"),
        strict=True,
    ):
        assert words in error["message"]
        assert remedy in error["hint"]
    assert await counted(served) == 1


@pytest.fixture
async def network(served: Served) -> AsyncGenerator[Proxy]:
    """A network before the writer that can be cut."""
    async with proxy(served.writer) as made:
        yield made


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cut_connection_is_not_called_applied(
    served: Served, network: Proxy, tmp_path: Path, kind: str
) -> None:
    write_project(tmp_path, kind)
    write_revision(tmp_path, "b2", "a1", f"{COUNT}\nop.execute('SELECT pg_sleep(60)')")
    through = network.before(served.writer).url(show_password=True)
    cut = migrator(tmp_path, served, DATABASE_URL=through)
    await until(served, running("SELECT pg_sleep"))
    network.cut()
    ran = await cut.ended(20)
    assert ran.code == 5, ran.out
    assert "revision b2 failed" in ran.json["error"]["message"]
    assert "unknown" in ran.json["error"]["message"]
    await until(served, f"NOT {LOCKED}", limit_s=5)
    assert await asked(served, VERSION) == "a1"
    assert await counted(served) == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_connection_cut_in_the_commit_is_not_called_applied(
    served: Served, network: Proxy, tmp_path: Path, kind: str
) -> None:
    await hold_up_commits(served)
    write_project(tmp_path, kind)
    write_revision(tmp_path, "b2", "a1", "op.execute('INSERT INTO late VALUES (1)')")
    write_revision(tmp_path, "c3", "b2", COUNT)
    through = network.before(served.writer).url(show_password=True)
    cut = migrator(tmp_path, served, DATABASE_URL=through)
    await until(served, running("COMMIT"))
    network.cut()
    ran = await cut.ended(20)
    assert ran.code == 5, ran.out
    assert "revision b2 failed" in ran.json["error"]["message"]
    assert "unknown" in ran.json["error"]["message"]
    assert "1 of 3" in ran.json["error"]["message"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_last", [False, True])
async def test_a_revision_that_fails_in_its_commit_is_the_one_that_is_named(
    served: Served, tmp_path: Path, kind: str, *, is_last: bool
) -> None:
    await hold_up_commits(served)
    write_project(tmp_path, kind)
    write_revision(tmp_path, "b2", "a1", "op.execute('INSERT INTO late VALUES (2)')")
    if not is_last:
        write_revision(tmp_path, "c3", "b2", COUNT)
    ran = await migrator(tmp_path, served).ended()
    assert ran.code == 1, ran.out
    assert "revision b2 failed and was rolled back" in ran.json["error"]["message"]
    assert "(1 of " in ran.json["error"]["message"]
    assert await asked(served, VERSION) == "a1"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_frozen_network_does_not_keep_a_migrator_from_ending(
    served: Served, network: Proxy, tmp_path: Path, kind: str
) -> None:
    write_project(tmp_path, kind)
    write_revision(tmp_path, "b2", "a1", f"{COUNT}\nop.execute('SELECT pg_sleep(60)')")
    through = network.before(served.writer).url(show_password=True)
    frozen = migrator(tmp_path, served, DATABASE_URL=through)
    await until(served, running("SELECT pg_sleep"))
    network.freeze()
    frozen.send(signal.SIGTERM)
    ran = await frozen.ended(10)
    assert ran.code == 143


@pytest.mark.parametrize("kind", KINDS)
async def test_a_terminated_session_is_not_called_migrated(
    served: Served, tmp_path: Path, kind: str
) -> None:
    write_project(tmp_path, kind)
    write_revision(tmp_path, "b2", "a1", f"{COUNT}\nop.execute('SELECT pg_sleep(60)')")
    ended = migrator(tmp_path, served)
    await until(served, running("SELECT pg_sleep"))
    end = """
        SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep%'
    """
    await asked(served, end)
    ran = await ended.ended(20)
    assert ran.code == 5, ran.out
    assert "revision b2 failed" in ran.json["error"]["message"]
    state = await migrator(tmp_path, served, command=STATUS).ended()
    assert (state.code, state.json["result"]["state"]) == (3, "behind")
    assert await counted(served) == 0


def shut_down(folder: Path) -> None:
    """Ask the server with this data folder for a fast shutdown."""
    postmaster = (folder / "postmaster.pid").read_text().split()[0]
    os.kill(int(postmaster), signal.SIGINT)


async def test_a_server_that_is_shut_down_is_not_called_migrated(
    tmp_path: Path,
) -> None:
    write_project(tmp_path, "psycopg")
    write_revision(tmp_path, "b2", "a1", f"{COUNT}\nop.execute('SELECT pg_sleep(60)')")
    async with throwaway(standby=False) as pair:
        served = Served("postgres", pair.writer, pair.writer)
        stopped = migrator(tmp_path, served)
        await until(served, running("SELECT pg_sleep"))
        folder = await asked(served, "SELECT current_setting('data_directory')")
        shut_down(Path(folder))
        ran = await stopped.ended(20)
    assert ran.code == 5, ran.out
    assert "revision b2 failed" in ran.json["error"]["message"]


async def test_an_env_py_that_swallows_errors_is_not_believed(
    served: Served, tmp_path: Path
) -> None:
    env = sync_env().replace(
        "        context.run_migrations()\n",
        "        try:\n            context.run_migrations()\n"
        "        except Exception as error:\n            print(error)\n",
    )
    write_env(tmp_path, env)
    write_revision(tmp_path, "b2", "a1", f"{COUNT}\n1 / 0")
    ran = await migrator(tmp_path, served).ended()
    assert ran.code == 1, ran.out
    assert "b2" in ran.json["error"]["message"]


async def test_an_env_py_that_swallows_everything_is_not_believed(
    served: Served, tmp_path: Path
) -> None:
    env = sync_env()
    body = "".join(f"    {line}\n" for line in env.splitlines())
    write_env(tmp_path, f"try:\n{body}except BaseException:\n    pass\n")
    write_revision(tmp_path, "b2", "a1", f"{COUNT}\n1 / 0")
    ran = await migrator(tmp_path, served).ended()
    assert ran.code == 1, ran.out
    holder = await connect(served.writer)
    key = "pg_catalog.hashtextextended('dbops:migrate:public.alembic_version', 0)"
    await holder.execute(f"SELECT pg_catalog.pg_advisory_lock({key})")
    ran = await migrator(tmp_path, served, "--lock-timeout", "200ms").ended()
    await holder.close()
    assert ran.code == 7, ran.out


@pytest.mark.parametrize("number", [1, 2])
async def test_an_env_py_that_never_commits_is_not_believed(
    served: Served, tmp_path: Path, number: int
) -> None:
    env = sync_env(before="connection.begin()", around="context.begin_transaction()")
    write_env(tmp_path, env)
    if number == 2:
        write_revision(tmp_path, "b2", "a1", COUNT)
    ran = await migrator(tmp_path, served).ended()
    assert ran.code == 1, ran.out
    assert "nothing was kept" in ran.json["error"]["message"]
    assert await asked(served, "SELECT to_regclass('counter')") is None


async def test_two_signals_end_it_at_once(served: Served, tmp_path: Path) -> None:
    env = sync_env().replace(
        "        context.run_migrations()\n",
        "        try:\n            context.run_migrations()\n"
        "        finally:\n            import time; time.sleep(30)\n",
    )
    write_env(tmp_path, env)
    write_revision(tmp_path, "b2", "a1", "op.execute('SELECT pg_sleep(60)')")
    stubborn = migrator(tmp_path, served)
    await until(served, running("SELECT pg_sleep"))
    stubborn.send(signal.SIGTERM)
    await asyncio.sleep(0.3)
    stubborn.send(signal.SIGTERM)
    assert (await stubborn.ended(3)).code == 143
