"""migrate where only dbops' own driver is installed."""

import sys
from pathlib import Path

import pytest

from dbops.errors import ConfigError
from dbops.operations.init import starter_folder
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.upgrade import migrate
from tests.conftest import Served
from tests.server.projects import INI, chain, env_py

STARTER = starter_folder() / "alembic.ini"


@pytest.fixture
def no_other_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no synchronous driver be importable."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("psycopg", "psycopg2"):
            monkeypatch.delitem(sys.modules, name)
    for driver in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, driver, None)


@pytest.mark.usefixtures("no_other_driver")
async def test_an_env_py_that_borrows_needs_no_synchronous_driver(
    served: Served,
) -> None:
    done = await migrate(served.connectors(), Project(str(STARTER)))
    assert done.after == ("0002",)


@pytest.mark.usefixtures("no_other_driver")
async def test_an_env_py_that_connects_hears_which_driver_it_lacks(
    served: Served, tmp_path: Path
) -> None:
    revisions = chain("op.execute('CREATE TABLE t (n int)')")
    files = {
        "alembic.ini": INI.replace("@URL@", ""),
        "migrations/env.py": env_py(),
        **revisions,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match="needs a synchronous driver") as error:
        await migrate(served.connectors(), Project(str(tmp_path / "alembic.ini")))
    assert "dbops[psycopg]" in (error.value.hint or "")
