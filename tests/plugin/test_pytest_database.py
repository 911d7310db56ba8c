"""dbops_database: a migrated database of a test's own, and what a failure leaves."""

import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.conftest import Ran, RunDbops, clean_environment, missing
from tests.plugin.conftest import NOTES, RunPytest, passed

USES = """
import os
import subprocess
import sys
import pytest
from dbops import Connectors, Database, load_settings
from dbops.errors import ReadOnlyError
from models import notes
from sqlalchemy import func, insert, select, text

COUNT = select(func.count()).select_from(notes)
ADD = insert(notes).values(title="the only one")

@pytest.fixture(scope="session")
def dbops_template(dbops_template):
    # A template can be filled, by a program too.
    code = '''
import asyncio
from dbops import Database, load_settings
from models import notes
async def main():
    async with Database(load_settings()) as database, database.writer() as session:
        await session.execute(notes.insert().values(title="from the template"))
        await session.commit()
asyncio.run(main())
'''
    environment = {**os.environ, **dbops_template.environment}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return dbops_template

@pytest.mark.parametrize("time", ["first", "second", "a/'%\\"; third"])
async def test_each_has_its_own(dbops_database, time):
    async with dbops_database.database(pool_size=1) as database:
        async with database.writer() as session:
            assert await session.scalar(COUNT) == 1
            await session.execute(ADD)
            await session.commit()
        async with database.reader(after=await database.token()) as session:
            assert await session.scalar(COUNT) == 2
            assert await session.scalar(text("SELECT pg_is_in_recovery()"))
            with pytest.raises(ReadOnlyError):
                await session.execute(ADD)

async def test_the_reader_catches_up(dbops_database):
    async with dbops_database.database() as database:
        for n in range(20):
            async with database.writer() as session:
                await session.execute(insert(notes).values(title=str(n)))
                await session.commit()
            dbops_database.catch_up()
            async with database.reader() as session:
                assert await session.scalar(COUNT) == n + 2

async def test_nothing_leads_elsewhere(dbops_database, monkeypatch):
    for name in ("DATABASE_URL", "DATABASE_ADMIN_URL", "DATABASE_MIGRATION_URL"):
        monkeypatch.setenv(name, "postgresql://prod.example/shop")
    monkeypatch.setenv("DB_SECRET_ID", "prod")
    monkeypatch.setenv("DBOPS_POOL_SIZE", "3")
    for settings in (dbops_database.settings(), led_by(dbops_database, monkeypatch)):
        assert settings.pool_size == 3
        for role in ("writer", "reader", "admin", "migration"):
            endpoint = await Connectors(settings).connector(role).login()
            assert [it.host for it in endpoint.addresses] == ["127.0.0.1"]
            assert endpoint.password == dbops_database.writer.password

def led_by(database, monkeypatch):
    for name, value in database.environment.items():
        monkeypatch.setenv(name, value)
    return load_settings()

def test_no_password_is_shown(dbops_database):
    password = dbops_database.writer.password.get_secret_value()
    shown = repr(dbops_database) + str(dbops_database) + dbops_database.psql
    assert password not in shown
    assert dbops_database.name in dbops_database.psql
"""

KEPT = """
import pytest

def test_fails(dbops_database):
    assert dbops_database is None

@pytest.fixture
def broken(dbops_database):
    raise LookupError

def test_cannot_start(broken):
    pass

@pytest.mark.xfail(strict=True)
def test_is_known(dbops_database):
    raise LookupError

def test_passes(dbops_database):
    pass
"""


def test_a_test_has_a_database_of_its_own_on_both_servers(
    run_pytest: RunPytest,
) -> None:
    passed(run_pytest({**NOTES, "test_it.py": USES}, "--asyncio-mode=auto"), 6)


def test_workers_have_servers_of_their_own_and_failures_name_their_database(
    run_pytest: RunPytest,
) -> None:
    tests = """
    import pathlib
    import time

    def test_waits_for_the_other(dbops_pair, worker_id):
        place = pathlib.Path(__file__).parent
        (place / f"{worker_id}.port").write_text(str(dbops_pair.writer.addresses))
        deadline = time.monotonic() + 20
        while len(found := list(place.glob("*.port"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len({it.read_text() for it in found}) == 2
    """
    files = {**NOTES, "test_a.py": tests, "test_kept.py": KEPT}
    # Each of the two runs every test.
    ran = run_pytest(files, "-n", "2", "--dist", "each")
    assert "2 failed, 4 passed, 2 xfailed, 2 errors" in ran.out, ran.out
    summary = ran.out.partition("databases of failed tests")[2]
    names = re.findall(r"^test_kept.py::(\w+): (dbops_\w+)$", summary, re.MULTILINE)
    assert sorted({test for test, _ in names}) == ["test_cannot_start", "test_fails"]
    assert len({name for _, name in names}) == 4
    for test, name in names:
        assert name.startswith(f"dbops_{test}_")
        assert f"/{name}?" in ran.out.partition("dbops database -")[2]
    assert "to keep them: pytest --dbops-keep" in summary
    assert "Traceback" not in ran.out + ran.err


def test_a_server_that_dies_is_one_sentence_for_each_test(
    run_pytest: RunPytest,
) -> None:
    tests = """
    import os
    import signal
    import time

    async def test_kills_it(dbops_session, dbops_pair):
        pid_file = dbops_pair.folder / "writer" / "postmaster.pid"
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGQUIT)
        deadline = time.monotonic() + 20
        while pid_file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_after_it(dbops_database):
        pass

    async def test_with_a_session(dbops_session):
        pass
    """
    ran = run_pytest({**NOTES, "test_it.py": tests}, "--asyncio-mode=auto")
    assert "1 passed, 3 errors" in ran.out, ran.out
    assert ran.out.count("\ndbops: nothing listens on 127.0.0.1") == 3
    assert "Traceback" not in ran.out + ran.err


def test_where_everything_fails_the_first_twenty_are_kept(
    run_pytest: RunPytest,
) -> None:
    tests = """
    import pytest

    @pytest.mark.parametrize("n", range(22))
    def test_fails(dbops_database, n):
        raise LookupError
    """
    ran = run_pytest({**NOTES, "test_it.py": tests})
    summary = ran.out.partition("databases of failed tests")[2]
    kept = re.findall(r"^test_it.py::.*: dbops_test_fails_", summary, re.MULTILINE)
    assert len(kept) == 20, ran.out
    assert ran.out.count("dropped: the 20 of the tests that failed first are kept") == 2


@pytest.fixture
def stopped(plugin_cache: Path) -> Generator[None]:
    """Stop what a test has kept, also when that test fails."""
    yield
    subprocess.run(
        [sys.executable, "-m", "dbops", "local", "down", "--name", "pytest"],
        env=clean_environment(plugin_cache),
        check=True,
        capture_output=True,
    )


@pytest.mark.usefixtures("stopped")
def test_what_was_kept_is_there_until_its_servers_are_stopped(
    run_pytest: RunPytest, plugin_cache: Path, dbops: RunDbops
) -> None:
    ran = run_pytest({**NOTES, "test_it.py": KEPT}, "--dbops-keep")
    summary = ran.out.partition("databases of failed tests")[2]
    commands = re.findall(r"^test_it.py::\w+: (PGPASSWORD=.*)$", summary, re.MULTILINE)
    assert len(commands) == 2, ran.out
    assert "dbops local down --name pytest" in summary
    for command in commands:
        assert _psql(command, "TABLE notes", plugin_cache).code == 0
    listed = "SELECT count(*) FROM pg_database WHERE datname LIKE 'dbops%'"
    assert _psql(commands[0], listed, plugin_cache).out.strip() == "2"
    here = {"DBOPS_CACHE_DIR": str(plugin_cache)}
    status = dbops("local", "status", "--name", "pytest", env=here)
    assert status.out.startswith("ok"), status.out


def _psql(command: str, sql: str, cache: Path) -> Ran:
    """Run what the summary says, as somebody would who reads it."""
    if shutil.which("psql") is None:
        missing("psql")
    done = subprocess.run(
        ["/bin/sh", "-c", f'{command} -XAtc "$0"', sql],
        env=clean_environment(cache),
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
