"""The plugin as a guest: what it says when it cannot help, and that it is silent."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import clean_environment
from tests.plugin.conftest import ALONE, NOTES, STRICT, RunPytest, passed

TRACE = re.compile(r"\.py:\d")

HEAVY = """
import sys

def pytest_sessionfinish():
    heavy = ("asyncpg", "sqlalchemy", "alembic", "pydantic", "boto3", "dbops.settings")
    print("loaded:", [name for name in heavy if name in sys.modules])
"""

NO_PROGRAMS = """
import pytest

@pytest.fixture(scope="session", autouse=True)
def nothing_is_installed():
    from dbops.local import binaries
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binaries, "_WHEELS", ())
        patch.setattr(binaries, "_SYSTEM", ())
        patch.setenv("PATH", "/nowhere")
        yield
"""


def test_a_project_that_does_not_use_it_pays_nothing(run_pytest: RunPytest) -> None:
    tests = "def test_one(): pass\ndef test_two(): assert False\n"
    ran = run_pytest({"conftest.py": HEAVY, "test_it.py": tests}, "-s")
    assert "1 failed, 1 passed" in ran.out, ran.out
    assert "dbops-" in ran.out
    assert "loaded: []" in ran.out
    assert "databases of failed tests" not in ran.out


def test_it_can_be_switched_off(run_pytest: RunPytest) -> None:
    tests = "def test_one(dbops_pair): pass\n"
    ran = run_pytest({"test_it.py": tests}, "-p", "no:dbops")
    assert "fixture 'dbops_pair' not found" in ran.out


def test_missing_programs_are_one_sentence_for_each_test(
    run_pytest: RunPytest,
) -> None:
    tests = """
    def test_one(dbops_pair):
        pass

    def test_two(dbops_database):
        pass

    async def test_three(dbops_session):
        pass
    """
    files = {"conftest.py": NO_PROGRAMS, "test_it.py": tests}
    ran = run_pytest(files, "--asyncio-mode=auto")
    assert "3 errors" in ran.out, ran.out
    said = "dbops: no PostgreSQL server programs on this machine\nhint: pip install 'd"
    assert ran.out.count(said + "bops[local]'") == 3
    assert "Traceback" not in ran.out + ran.err
    assert not TRACE.search(ran.out)


def test_wrong_settings_and_migrations_that_fail_are_one_sentence(
    run_pytest: RunPytest,
) -> None:
    tests = "def test_one(dbops_database): pass\n"
    ran = run_pytest({"test_it.py": tests}, env={"DBOPS_CACHE_DIR": "/dev/null/x"})
    assert "dbops: cannot use /dev/null/x" in ran.out, ran.out
    assert not TRACE.search(ran.out)
    ran = run_pytest({"test_it.py": tests}, env={"DBOPS_POOL_SIZE": "many"})
    assert "dbops: DBOPS_POOL_SIZE from environment has the wrong form" in ran.out
    assert not TRACE.search(ran.out)


def test_the_projects_own_migrations_are_found(run_pytest: RunPytest) -> None:
    root = Path(__file__).parents[2]
    migrations = {
        str(path.relative_to(root)): path.read_text()
        for path in (root / "migrations").rglob("*")
        if path.suffix in (".py", ".mako")
    }
    tests = """
    from sqlalchemy import text

    async def test_one(dbops_session):
        assert await dbops_session.scalar(text("SELECT count(*) FROM articles")) == 0
    """
    ini = (root / "alembic.ini").read_text()
    files = {**migrations, "alembic.ini": ini, "test_it.py": tests}
    passed(run_pytest(files, "--asyncio-mode=auto"), 1)


# Whoever runs the tests in the background ignores the signal, and we inherit that.
UNTIL_CTRL_C = """
import signal
import time

signal.signal(signal.SIGINT, signal.default_int_handler)

def test_one(dbops_database):
    print("here", flush=True)
    while True:
        time.sleep(0.05)
"""


def test_ctrl_c_leaves_no_server(plugin_cache: Path, tmp_path: Path) -> None:
    files = {**NOTES, "pytest.ini": ALONE, "test_it.py": UNTIL_CTRL_C}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-s", *STRICT, "-p", "no:asyncio"],
        env={**clean_environment(plugin_cache), "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert run.stdout is not None
        before = ""
        while "here" not in before and (line := run.stdout.readline()):
            before += line
        assert "here" in before, before
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=60)
    finally:
        run.kill()
        run.wait()
    assert run.returncode == 2, out
    assert "KeyboardInterrupt" in out
    assert not _servers_below(plugin_cache)


def _servers_below(folder: Path) -> list[bytes]:
    """Return the servers that work in `folder`, once they have had time to end."""
    deadline = time.monotonic() + 10
    while True:
        commands = []
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                commands.append(place.read_bytes())
            except OSError:
                continue
        found = [it for it in commands if os.fsencode(folder / "throwaway") in it]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)
