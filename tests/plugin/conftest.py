"""Small projects whose tests use the plugin, run as their users run them."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import pytest

from tests.conftest import Ran, clean_environment

RunPytest = Callable[..., Ran]

# Also what goes wrong outside of any test, such as a loop that nobody closed.
STRICT = ("-W", "error", "-p", "no:cacheprovider")

ALONE = "[pytest]\n"
# Without it, pytest-asyncio warns.
WITH_ASYNCIO = ALONE + "asyncio_default_fixture_loop_scope = function\n"

MODELS = """
from sqlalchemy import MetaData, Table, Column, Integer, Text

metadata = MetaData()
notes = Table(
    "notes", metadata,
    Column("id", Integer, primary_key=True),
    Column("title", Text, unique=True, nullable=False),
)
"""

CONFTEST = """
import pytest
from models import metadata

@pytest.fixture(scope="session")
def dbops_project():
    return metadata

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""

NOTES: Mapping[str, str] = {"models.py": MODELS, "conftest.py": CONFTEST}
"""A project with one table."""


@pytest.fixture(scope="session")
def plugin_cache() -> Generator[Path]:
    """Return a folder of templates for all runs, which the servers can reach."""
    memory = Path("/dev/shm")  # noqa: S108 # a private folder in it, for speed
    place = memory if os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="dbops-test-", dir=place))
    folder.chmod(0o755)
    yield folder
    # Every run has to leave nothing but what makes the next one quick.
    left = [it for it in folder.glob("throwaway/*") if it.is_dir()]
    shutil.rmtree(folder)
    assert left == []


@pytest.fixture
def run_pytest(tmp_path: Path, plugin_cache: Path) -> RunPytest:
    """Write a project, and run its tests in a process of their own."""

    def run(
        files: Mapping[str, str],
        *words: str,
        env: Mapping[str, str] | None = None,
    ) -> Ran:
        ini = ALONE if "no:asyncio" in words else WITH_ASYNCIO
        for name, text in {"pytest.ini": ini, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        clean = clean_environment(plugin_cache)
        # There pytest says everything at full length, and some of it twice.
        clean.pop("CI", None)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *STRICT, *words],
            env={
                **clean,
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": str(tmp_path),
                **(env or {}),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


def passed(ran: Ran, how_many: int) -> None:
    """Make sure that so many tests have passed, and none did anything else."""
    said = ran.out + ran.err
    assert ran.code == 0, said
    assert f"{how_many} passed in" in said, said
    for complaint in ("ResourceWarning", "different loop", "Traceback", "never await"):
        assert complaint not in said, said
