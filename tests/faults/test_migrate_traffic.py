"""Readers are never held up for long, and nothing is done twice by trying again."""

import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from dbops.engine.connect import Connection, connect
from tests.conftest import Ran, Served
from tests.faults.migrators import (
    COUNT,
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

SHORT = ("--ddl-lock-timeout", "150ms")
# Somebody else must find out meanwhile who is in the way, on a busy machine too.
WATCHED = ("--ddl-lock-timeout", "750ms")
KINDS = ["dbops init's", "psycopg", "asyncpg"]
ALTER = "op.execute('ALTER TABLE busy ADD x int')"
VERSION = "SELECT version_num FROM alembic_version"
TRIES = "SELECT last_value FROM tries"
NOTE_TRY = "op.execute(\"SELECT nextval('tries')\")"  # no rollback takes it back


@pytest.fixture
async def reader(served: Served) -> AsyncGenerator[Connection]:
    """Somebody who reads a table for a long time."""
    connection = await connect(served.writer, application_name="long report")
    await connection.execute("CREATE TABLE busy (n int); CREATE SEQUENCE tries")
    await connection.execute("BEGIN; SELECT * FROM busy")
    yield connection
    await connection.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_only_the_revision_that_waits_is_tried_again(
    served: Served, tmp_path: Path, reader: Connection, kind: str
) -> None:
    write_project(tmp_path, kind)
    write_revision(tmp_path, "b2", "a1", COUNT)
    write_revision(tmp_path, "c3", "b2", f"{COUNT}\n{NOTE_TRY}\n{ALTER}")
    waiting = migrator(tmp_path, served, *WATCHED)
    await until(served, "(SELECT last_value FROM tries) >= 3")
    assert await asked(served, VERSION) == "b2"
    await reader.execute("COMMIT")
    ran = await waiting.ended()
    assert ran.code == 0, ran.out
    assert ran.json["result"]["retries"] == await asked(served, TRIES) - 1
    applied = [step["revision"] for step in ran.json["result"]["applied"]]
    assert applied == ["a1", "b2", "c3"]
    assert await counted(served) == 2
    assert (
        f"revision c3 waits for pid {reader.get_server_pid()} (long report" in ran.err
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_who_is_in_the_way_is_named_in_the_end(
    served: Served, tmp_path: Path, reader: Connection, kind: str
) -> None:
    write_project(tmp_path, kind)
    write_revision(tmp_path, "b2", "a1", f"{NOTE_TRY}\n{ALTER}")
    ran = await migrator(tmp_path, served, *WATCHED, DBOPS_DDL_RETRIES="1").ended()
    assert ran.code == 7
    error = ran.json["error"]
    assert "revision b2 failed and was rolled back" in error["message"]
    assert f"in the way: pid {reader.get_server_pid()} (long report" in error["message"]
    assert "(2 attempts)" in error["message"]
    assert (error["sqlstate"], error["retryable"]) == ("55P03", True)
    assert await asked(served, TRIES) == 2
    assert await asked(served, VERSION) == "a1"


async def test_readers_go_on_while_a_revision_waits(
    served: Served, tmp_path: Path, reader: Connection
) -> None:
    write_project(tmp_path, "psycopg")
    write_revision(tmp_path, "b2", "a1", ALTER)
    waiting = migrator(tmp_path, served, *WATCHED)
    await until(served, running("ALTER TABLE busy"))
    other = await connect(served.writer)
    # Behind an ALTER TABLE without a limit this would wait for the long report.
    await other.execute("SET statement_timeout = '2s'")
    for _ in range(20):
        await other.fetch("SELECT * FROM busy")
    await other.close()
    waiting.send(signal.SIGTERM)
    assert (await waiting.ended()).code == 143


COMMIT_WITHIN = """
op.execute("UPDATE counter SET n = n + 1; COMMIT; SELECT 1")
"""
OWN_CONNECTION = """
with op.get_bind().engine.begin() as own:
    own.exec_driver_sql("UPDATE counter SET n = n + 1")
"""
OWN_SESSION = """
from sqlalchemy import text
from sqlalchemy.orm import Session
session = Session(op.get_bind(), join_transaction_mode="control_fully")
session.execute(text("UPDATE counter SET n = n + 1"))
session.commit()
"""
BY_THEMSELVES = {
    "autocommit_block": f"with op.get_context().autocommit_block():\n    {COUNT}",
    "COMMIT": f"{COUNT}\nop.execute('COMMIT')",
    "COMMIT behind a comment": f"{COUNT}\nop.execute('/* now */ COMMIT')",
    "COMMIT within a script": COMMIT_WITHIN,
    "a commit of the connection": f"{COUNT}\nop.get_bind().commit()",
    "a commit of the driver": f"{COUNT}\nop.get_bind().connection.commit()",
    "a connection of its own": OWN_CONNECTION,
    "a session": OWN_SESSION,
}


@pytest.mark.parametrize("way", BY_THEMSELVES)
async def test_a_revision_that_has_committed_by_itself_is_not_tried_again(
    served: Served, tmp_path: Path, reader: Connection, way: str
) -> None:
    write_project(tmp_path, "psycopg")
    assert (await migrator(tmp_path, served).ended()).code == 0
    write_revision(tmp_path, "b2", "a1", f"{BY_THEMSELVES[way].strip()}\n{ALTER}")
    ran = await migrator(tmp_path, served, *SHORT, DBOPS_DDL_RETRIES="2").ended()
    assert await counted(served) == 1
    assert ran.code == 7
    assert "outside of its transaction stays" in ran.json["error"]["message"]


async def test_an_autocommit_env_py_is_not_tried_again(
    served: Served, tmp_path: Path, reader: Connection
) -> None:
    env = sync_env().replace(
        'prefix="sqlalchemy."', 'prefix="sqlalchemy.", isolation_level="AUTOCOMMIT"'
    )
    write_env(tmp_path, env)
    write_revision(tmp_path, "b2", "a1", f"{COUNT}\n{ALTER}")
    ran = await migrator(tmp_path, served, *SHORT, DBOPS_DDL_RETRIES="2").ended()
    assert (ran.code, await counted(served)) == (7, 1)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_concurrent_index_waits_as_long_as_it_takes(
    served: Served, tmp_path: Path, kind: str
) -> None:
    write_project(tmp_path, kind)
    assert (await migrator(tmp_path, served).ended()).code == 0
    create = "CREATE INDEX CONCURRENTLY counter_n ON counter (n)"
    write_revision(
        tmp_path,
        "b2",
        "a1",
        f"with op.get_context().autocommit_block():\n"
        f"    op.execute({create!r})\n"
        "op.execute('CREATE TABLE kept AS SELECT current_setting($$lock_timeout$$) l')",
    )
    writer, watcher = [await connect(served.writer) for _ in range(2)]
    await writer.execute("BEGIN; UPDATE counter SET n = n")
    building = migrator(tmp_path, served, "--ddl-lock-timeout", "100ms")
    await holds(watcher, running("CREATE INDEX CONCURRENTLY"))
    await watcher.execute("SELECT pg_sleep(0.5)")
    await writer.execute("COMMIT")
    ran = await building.ended()
    await writer.close()
    await watcher.close()
    assert ran.code == 0, ran.out
    assert await asked(served, "SELECT l FROM kept") == "100ms"


async def test_the_limit_is_back_after_a_concurrent_index_that_failed(
    served: Served, tmp_path: Path
) -> None:
    write_project(tmp_path, "psycopg")
    write_revision(
        tmp_path,
        "b2",
        "a1",
        """
        with op.get_context().autocommit_block():
            try:
                op.execute('CREATE INDEX CONCURRENTLY i ON no_such_table (n)')
            except Exception:
                pass
        op.execute('CREATE TABLE kept AS SELECT current_setting($$lock_timeout$$) l')
        """,
    )
    ran = await migrator(tmp_path, served, *SHORT).ended()
    assert ran.code == 0, ran.out
    assert await asked(served, "SELECT l FROM kept") == "150ms"


SHOW = "op.execute('CREATE TABLE kept AS SELECT current_setting($${}$$) l')"


async def kept_by(served: Served, project: Path, name: str, *words: str) -> str:
    """Return what a parameter is inside of a revision."""
    write_revision(project, "b2", "a1", SHOW.format(name))
    ran = await migrator(project, served, *words).ended()
    assert ran.code == 0, ran.out
    found: str = await asked(served, "SELECT l FROM kept")
    return found


async def test_a_lock_timeout_of_env_py_stays(served: Served, tmp_path: Path) -> None:
    options = "-c lock_timeout=7s"
    env = sync_env().replace(
        'prefix="sqlalchemy."',
        f'prefix="sqlalchemy.", connect_args={{"options": "{options}"}}',
    )
    write_env(tmp_path, env, url=served.environment["DATABASE_URL"])
    assert await kept_by(served, tmp_path, "lock_timeout", *SHORT) == "7s"


async def test_a_lock_timeout_that_env_py_sets_in_its_transaction_stays(
    served: Served, tmp_path: Path
) -> None:
    env = sync_env(
        before="connection.exec_driver_sql(\"SET lock_timeout = '7s'\")",
        after="connection.commit()",
    )
    write_env(tmp_path, env)
    assert await kept_by(served, tmp_path, "lock_timeout", *SHORT) == "7s"


@pytest.mark.parametrize(
    ("words", "found"), [((), "33s"), (("--statement-timeout", "44s"), "44s")]
)
async def test_a_roles_own_statement_timeout_stays_unless_one_is_given(
    served: Served, tmp_path: Path, words: tuple[str, ...], found: str
) -> None:
    write_project(tmp_path, "psycopg")
    await asked(
        served, f"ALTER DATABASE \"{served.name}\" SET statement_timeout = '33s'"
    )
    assert await kept_by(served, tmp_path, "statement_timeout", *words) == found


@pytest.mark.parametrize("kind", KINDS)
async def test_a_statement_that_takes_too_long_is_ended_and_rolled_back(
    served: Served, tmp_path: Path, kind: str
) -> None:
    write_project(tmp_path, kind)
    write_revision(tmp_path, "b2", "a1", f"{COUNT}\nop.execute('SELECT pg_sleep(60)')")
    ran: Ran = await migrator(tmp_path, served, "--statement-timeout", "300ms").ended()
    assert ran.code == 1, ran.out
    error = ran.json["error"]
    assert "revision b2 failed and was rolled back" in error["message"]
    assert error["sqlstate"] == "57014"
    assert "--statement-timeout" in error["hint"]
    assert await counted(served) == 0
    assert await asked(served, VERSION) == "a1"
