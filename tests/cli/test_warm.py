"""Is a process that was forked for a test like one that was started?"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Ran, RunDbops, StartWarm, clean_environment
from tests.warm import LIBRARIES, SCHEMA_LIBRARIES

REFUSED = {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}


@pytest.mark.parametrize("words", [("config",), ("ping", "--nosuch"), ("status",)])
def test_it_says_the_same_and_ends_the_same(
    dbops: RunDbops, tmp_path: Path, cache_dir: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / ".env").write_text("DB_READER_HOST=from-this-folder")
    started = subprocess.run(
        [sys.executable, "-m", "dbops", *words],
        env={**clean_environment(cache_dir), **REFUSED},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    forked = dbops(*words, env=REFUSED)
    assert forked == Ran(started.returncode, started.stdout, started.stderr)


@pytest.mark.parametrize(
    ("libraries", "not_there"),
    [(LIBRARIES, {"dbops", "alembic", "sqlalchemy"}), (SCHEMA_LIBRARIES, {"dbops"})],
    ids=["probe", "schema"],
)
def test_what_it_imports_itself_is_not_there_yet(
    libraries: tuple[str, ...], not_there: set[str]
) -> None:
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(*sys.modules)"
    )
    there = subprocess.run(
        [sys.executable, "-c", code, *libraries],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not not_there & {it.partition(".")[0] for it in there.stdout.split()}


def test_who_takes_too_long_is_killed(dbops: RunDbops) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        dbops("wait", "--timeout", "20s", env=REFUSED, timeout_s=1)
    assert dbops("ping", env=REFUSED).code == 5


def test_what_python_reads_at_its_start_gets_a_process_of_its_own(
    warm: StartWarm, cache_dir: Path
) -> None:
    same = clean_environment(cache_dir)
    assert warm(LIBRARIES).takes(same)
    assert not warm(LIBRARIES).takes({**same, "PYTHONIOENCODING": "ascii"})
