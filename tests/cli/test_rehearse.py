"""migrate --rehearse as a user types it: code, stdout, stderr, and what is left."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dbops.engine.connect import Connection, connect
from dbops.operations.init import starter_folder
from tests.cli.test_local import servers_below
from tests.conftest import RunDbops, Served, clean_environment

STARTER = str(starter_folder() / "alembic.ini")
SECRET = "s3cr3t-sentinel"
REHEARSE = ("migrate", "--rehearse", "-c", STARTER)

pytestmark = pytest.mark.usefixtures("template")


def revision(folder: Path, body: str) -> str:
    """Write a project with one revision; return its configuration."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    (versions / "a1.py").write_text(
        '"""do a1"""\nimport time\nfrom pathlib import Path\nfrom alembic import op\n'
        "revision, down_revision = 'a1', None\n"
        f"def upgrade():\n    {body}\n"
    )
    return str(folder / "alembic.ini")


@pytest.fixture
def project(dbops: RunDbops, tmp_path: Path) -> Path:
    assert dbops("init").code == 0
    return tmp_path


def test_it_reports_each_revision_and_applies_none(
    dbops: RunDbops, served: Served, cache_dir: Path
) -> None:
    ran = dbops(*REHEARSE, "--format", "json", env=served.environment)
    assert ran.code == 0, ran.err
    result = ran.json["result"]
    assert result["starts_from"] == "schema"
    assert [it["revision"] for it in result["revisions"]] == ["0001", "0002"]
    assert result["after"] == ["0002"]
    assert result["rows_copied"] is False
    status = dbops("status", "-c", STARTER, "--format", "json", env=served.environment)
    assert status.json["result"]["state"] == "empty"
    assert servers_below(cache_dir) == []


def test_a_person_reads_a_table_of_locks(
    dbops: RunDbops, served: Served, project: Path
) -> None:
    first = revision(project, "op.execute('CREATE TABLE a (n int)')")
    assert dbops("migrate", "-c", first, env=served.environment).code == 0
    (project / "migrations" / "versions" / "b2.py").write_text(
        '"""do b2"""\nfrom alembic import op\nrevision, down_revision = "b2", "a1"\n'
        "def upgrade():\n    op.execute('ALTER TABLE a ALTER n TYPE bigint')\n"
    )
    ran = dbops("migrate", "--rehearse", env=served.environment)
    assert ran.code == 0, ran.err
    line = next(it for it in ran.out.splitlines() if "ACCESS EXCLUSIVE" in it)
    assert line.split()[0] == "public.a"
    assert "reads and writes" in line
    assert "without its rows" in ran.err


def test_a_failing_revision_is_one(
    dbops: RunDbops, served: Served, project: Path
) -> None:
    revision(project, "op.execute('ALTER TABLE nix ADD n int')")
    ran = dbops("migrate", "--rehearse", "--format", "json", env=served.environment)
    assert ran.code == 1
    assert ran.json["status"] == "fail"
    assert "revision a1 failed" in ran.json["error"]["message"]
    assert ran.json["result"]["revisions"][-1]["error"]["sqlstate"] == "42P01"
    human = dbops("migrate", "--rehearse", env=served.environment)
    assert human.code == 1
    assert "error: on the copy, revision a1 failed" in human.err
    assert "Traceback" not in human.err


def test_without_a_server_it_says_so(dbops: RunDbops) -> None:
    ran = dbops(*REHEARSE)
    assert ran.code == 0, ran.err
    assert "starts from nothing" in ran.err
    assert "base" in ran.out


def test_a_silent_server_is_five_and_no_password_is_shown(dbops: RunDbops) -> None:
    url = f"postgresql://u:{SECRET}@127.0.0.1:1/x"
    ran = dbops(*REHEARSE, env={"DATABASE_URL": url})
    assert ran.code == 5
    assert SECRET not in ran.out + ran.err


def test_a_missing_database_is_six(dbops: RunDbops, served: Served) -> None:
    url = served.writer.with_database("nix").url(show_password=True)
    ran = dbops(*REHEARSE, env={"DATABASE_URL": url})
    assert ran.code == 6
    assert "Traceback" not in ran.err


def test_an_unknown_revision_is_two(dbops: RunDbops, served: Served) -> None:
    ran = dbops(*REHEARSE, "nix", env=served.environment)
    assert ran.code == 2


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_leaves_no_server(
    served: Served, project: Path, cache_dir: Path, number: int, code: int
) -> None:
    begun = project / "begun"
    revision(
        project, f"Path({str(begun)!r}).touch()\n    op.execute('SELECT pg_sleep(60)')"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "dbops", "migrate", "--rehearse", "--format", "json"],
        env={**clean_environment(cache_dir), **served.environment},
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert servers_below(cache_dir)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert json.loads(out)["exit_code"] == code
    assert servers_below(cache_dir) == []
    assert list((cache_dir / "throwaway").iterdir()) == []


async def test_a_signal_ends_what_pg_dump_waits_for(
    served: Served, project: Path, cache_dir: Path
) -> None:
    revision(project, "op.execute('SELECT 1')")
    connection = await connect(served.writer)
    try:
        await connection.execute("CREATE TABLE busy (n int)")
        await connection.execute("BEGIN")
        await connection.execute("LOCK TABLE busy IN ACCESS EXCLUSIVE MODE")
        words = ("migrate", "--rehearse", "--ddl-lock-timeout", "60s")
        process = subprocess.Popen(  # noqa: ASYNC220 # polled below
            [sys.executable, "-m", "dbops", *words],
            env={**clean_environment(cache_dir), **served.environment},
            cwd=project,
            stderr=subprocess.DEVNULL,
        )
        await until(connection, 1)
        process.send_signal(signal.SIGTERM)
        await until(connection, 0)
        assert await asyncio.to_thread(process.wait, 30) == 143
    finally:
        await connection.close()
    assert servers_below(cache_dir) == []


async def until(connection: Connection, count: int) -> None:
    """Wait until so many sessions wait for the table."""
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted "
        "AND relation = 'busy'::regclass"
    )
    async with asyncio.timeout(30):
        while await connection.fetchval(waiting) != count:
            await asyncio.sleep(0.02)
