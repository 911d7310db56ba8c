"""Processes of Alembic and of dbops, forked from one that has imported both.

Each has a folder, an environment and a standard output of its own, as if it had been
started from a shell; only the seconds that importing takes are saved.
"""

import multiprocessing
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conftest import Ran

_IMPORTED = (
    "alembic.config",
    "asyncpg",
    "dbops.cli",
    "dbops.cli.app",
    "dbops.cli.run",
    "dbops.operations.migrate.at_head.answer",
    "dbops.operations.migrate.upgrade",
    "psycopg",
    "psycopg2",
    "pydantic_settings",
    "sqlalchemy.ext.asyncio",
    "sqlalchemy.orm",
    "tests.server.processes",
)


def run(
    words: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    limit_s: float = 60,
) -> Ran:
    """Run `alembic …` or `dbops …` in a process."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(list(_IMPORTED))
    with TemporaryDirectory() as said:
        process = forks.Process(
            target=_be, args=(list(words), folder, dict(environment), Path(said))
        )
        process.start()
        process.join(limit_s)
        process.kill()
        process.join()
        out, err = (Path(said, name).read_text() for name in ("out", "err"))
        # What multiprocessing knows of it may be lost on the way.
        code = Path(said, "code")
        assert code.exists(), f"{words} did not end by itself: {out}{err}"
        return Ran(int(code.read_text()), out, err)


def _be(
    words: list[str], folder: Path, environment: dict[str, str], said: Path
) -> None:
    """Be that process."""
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(said / name, os.O_WRONLY | os.O_CREAT), descriptor)
    # What multiprocessing has found in the tests' process is none of its business.
    sys.path[:] = [it for it in sys.path if it not in ("", str(Path.cwd()))]
    sys.argv[:] = words
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if words[0] == "alembic":
        from alembic.config import main as be
    else:
        from dbops.cli import main as be  # type: ignore[assignment] # without arguments
    code: object = 0
    try:
        be()
    except SystemExit as ended:
        code = ended.code or 0
    except Exception:  # noqa: BLE001 # as Python itself does
        traceback.print_exc()
        code = 1
    (said / "code").write_text(str(code))
