"""`dbops wait --for …`: exit code, stdout, stderr."""

import asyncio
from pathlib import Path

import pytest

from dbops.endpoint import Endpoint
from dbops.engine.connect import connect
from dbops.local.throwaway import throwaway
from tests.cli.test_imports import SLOW, imported
from tests.conftest import RunDbops, Served, clean_environment

NOWHERE = "postgresql://u:p@127.0.0.1:1/x"


@pytest.fixture
def project(tmp_path: Path, dbops: RunDbops) -> Path:
    """A project of two revisions."""
    assert dbops("init").code == 0
    for name, down in (("a1", None), ("b2", "a1")):
        (tmp_path / "migrations" / "versions" / f"{name}.py").write_text(
            f"from alembic import op\nrevision, down_revision = {name!r}, {down!r}\n"
            f"def upgrade():\n    op.execute('CREATE TABLE {name} (n int)')\n"
        )
    return tmp_path


async def run(endpoint: Endpoint, *statements: str) -> None:
    connection = await connect(endpoint)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("what", ["server", "database", "writable", "replica"])
def test_what_is_there_is_zero(dbops: RunDbops, served: Served, what: str) -> None:
    ran = dbops("wait", "--for", what, "--format", "json", env=served.environment)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["result"]["waited_for"] == what
    assert ran.json["result"]["attempts"] >= 1
    human = dbops("wait", "--for", what, env=served.environment)
    assert human.code == 0
    assert human.out.startswith("ok\n")


def test_pending_migrations_are_three_and_counted(
    dbops: RunDbops, served: Served, project: Path
) -> None:
    words = ("wait", "--for", "migrations", "--timeout", "8s")
    ran = dbops(*words, "--format", "json", env=served.environment)
    assert ran.code == 3
    assert ran.json["error"]["type"] == "PendingError"
    assert ran.json["error"]["retryable"] is True
    assert "2 of 2 revisions are pending: next is a1" in ran.json["error"]["message"]
    # Said once, for it stays the same.
    assert ran.err == "waiting: 2 of 2 revisions are pending: next is a1\n"
    dbops("migrate", env=served.environment)
    assert dbops(*words, env=served.environment).code == 0


def test_a_database_ahead_of_the_code_is_six_at_once(
    dbops: RunDbops, served: Served, project: Path
) -> None:
    dbops("migrate", env=served.environment)
    (project / "migrations" / "versions" / "b2.py").unlink()
    ran = dbops("wait", "--for", "migrations", env=served.environment)
    assert ran.code == 6
    assert "ahead of this code: it is at b2" in ran.err
    assert "hint: " in ran.err


def test_migrations_without_a_project_are_four(dbops: RunDbops, served: Served) -> None:
    ran = dbops("wait", "--for", "migrations", env=served.environment)
    assert ran.code == 4
    assert "dbops init" in ran.err


@pytest.mark.parametrize("what", ["server", "writable", "migrations", "replica"])
def test_a_server_that_is_not_there_is_five(
    dbops: RunDbops, project: Path, what: str
) -> None:
    ran = dbops(
        *("wait", "--for", what, "--timeout", "5s", "--format", "json"),
        env={"DATABASE_URL": NOWHERE, "DATABASE_READER_URL": NOWHERE},
    )
    assert ran.code == 5, ran.out
    assert "nothing listens on 127.0.0.1:1" in ran.json["error"]["message"]
    assert "Traceback" not in ran.err


def test_a_standby_that_stays_one_is_six(dbops: RunDbops, served: Served) -> None:
    env = {"DATABASE_URL": served.environment["DATABASE_READER_URL"]}
    ran = dbops("wait", "--for", "writable", "--timeout", "2s", env=env)
    assert ran.code == 6
    assert "is a standby" in ran.err
    assert "hint: promote it" in ran.err


def test_a_replica_without_a_reader_is_four(dbops: RunDbops, served: Served) -> None:
    env = {"DATABASE_URL": served.environment["DATABASE_URL"]}
    ran = dbops("wait", "--for", "replica", env=env)
    assert ran.code == 4
    assert "DATABASE_READER_URL" in ran.err


def test_a_replica_that_does_not_follow_is_five_and_why(
    dbops: RunDbops, served: Served
) -> None:
    # The session's own pair is others' too: a pair that may be paused.
    async def paused_while_waiting() -> None:
        async with throwaway() as pair:
            env = {
                "DATABASE_URL": pair.writer.url(show_password=True),
                "DATABASE_READER_URL": pair.reader.url(show_password=True),
            }
            await run(pair.reader, "SELECT pg_catalog.pg_wal_replay_pause()")
            await run(pair.writer, "CREATE TABLE written (n int)")
            words = ("wait", "--for", "replica", "--timeout", "2s", "--format", "json")
            ran = dbops(*words, env=env)
            assert ran.code == 5
            error = ran.json["error"]
            assert "its replay is paused" in error["message"]
            assert "pg_wal_replay_resume" in error["hint"]
            assert "bytes of WAL" in ran.err

    asyncio.run(paused_while_waiting())


def test_wait_first_is_still_an_option_of_other_commands(
    dbops: RunDbops, served: Served
) -> None:
    assert dbops("ping", "--wait", "5s", env=served.environment).code == 0
    ran = dbops("ping", "--wait", "500ms", env={"DATABASE_URL": NOWHERE})
    assert ran.code == 5
    assert "in vain: nothing listens" in ran.err


def test_migrations_that_are_there_are_seen_without_alembic(
    dbops: RunDbops, served: Served, project: Path, cache_dir: Path
) -> None:
    dbops("migrate", env=served.environment)
    ini = str(project / "alembic.ini")
    env = {**clean_environment(cache_dir), **served.environment}
    found = imported("wait", "--for", "migrations", "-c", ini, env=env)
    assert found.isdisjoint(SLOW)
