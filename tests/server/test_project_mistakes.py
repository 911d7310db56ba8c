"""What a user reads whose project, and not the database, is in the way."""

from pathlib import Path
from typing import NamedTuple

import pytest

from dbops.operations.migrate.project import Project
from dbops.operations.migrate.status import migration_status
from tests.conftest import RunDbops, Served
from tests.server.project_kinds import ASYNC
from tests.server.projects import INI, Kind, chain, env_py, write

RUN_ASYNC = "asyncio.run(run_async_migrations())\n"
SECRET = "hidden-w0rd"


def url(driver: str, *, host: str = "@HOST@:@PORT@") -> str:
    """Return an ini whose password is wrong."""
    return INI.replace("@URL@", f"{driver}://@USER@:{SECRET}@{host}/@DATABASE@")


class Mistake(NamedTuple):
    kind: Kind
    code: int
    said: str


MISTAKES = {
    "models that cannot be imported": Mistake(
        Kind(env=env_py(head="from shop.models import Base")),
        4,
        "env.py cannot be run: No module named 'shop'",
    ),
    "a driver that is missing": Mistake(
        Kind(ini=url("postgresql+pg8000")), 4, "No module named 'pg8000'"
    ),
    "an env.py that Python cannot read": Mistake(
        Kind(env="def run(:\n"), 4, "env.py cannot be run: invalid syntax (env.py, line"
    ),
    "a wrong password, psycopg": Mistake(
        Kind(ini=url("postgresql+psycopg")), 4, "refused the credentials"
    ),
    "a wrong password, psycopg2": Mistake(
        Kind(ini=url("postgresql+psycopg2")), 4, "refused the credentials"
    ),
    "a wrong password, asyncpg": Mistake(
        Kind(env=ASYNC + RUN_ASYNC, ini=url("postgresql+asyncpg")),
        4,
        "refused the credentials",
    ),
    "a server that is not there": Mistake(
        Kind(ini=url("postgresql+psycopg", host="127.0.0.1:1")),
        5,
        "the connection to 127.0.0.1:1 failed: Connection refused",
    ),
    "a database that is not there": Mistake(
        Kind(ini=INI.replace("@URL@", "@URL@nowhere")), 6, "does not exist on"
    ),
    "another kind of database": Mistake(
        Kind(ini=INI.replace("@URL@", "sqlite:///shop.db")), 6, "connects to sqlite"
    ),
    "a URL that SQLAlchemy no longer takes": Mistake(
        Kind(ini=url("postgres")), 4, "env.py cannot be run: Can't load plugin"
    ),
    "a percent sign that is not doubled": Mistake(
        Kind(ini=INI.replace("@URL@", f"postgresql://u:a%{SECRET}@localhost/x")),
        4,
        "alembic.ini cannot be read",
    ),
    "a variable that is not set": Mistake(
        Kind(env=env_py(head="import os\nos.environ['SHOP_URL']")),
        1,
        "KeyError: 'SHOP_URL' (env.py, line",
    ),
    "an exception that holds the URL": Mistake(
        Kind(env=env_py(head=f"raise RuntimeError('psql://me:{SECRET}@there/x')")),
        1,
        "RuntimeError: psql://me:***@there/x (env.py, line",
    ),
    "sys.exit with a number": Mistake(
        Kind(env=env_py(start="import sys\nsys.exit(3)")), 1, "(exit 3)"
    ),
    "sys.exit after an exception": Mistake(
        Kind(
            env=env_py(
                start="import sys\ntry:\n    1 / 0\nexcept Exception:\n    sys.exit(1)"
            )
        ),
        1,
        "ZeroDivisionError",
    ),
    "sys.exit before anything": Mistake(
        Kind(env=env_py(start="import sys\nsys.exit(0)")), 1, "without running any"
    ),
    "an env.py that does nothing": Mistake(
        Kind(env="pass\n"), 1, "without running any revision"
    ),
    "an env.py that hides what goes wrong": Mistake(
        Kind(
            env=env_py(start="try:\n    run()\nexcept Exception:\n    pass"),
            revisions=chain("pass", "1 / 0", "pass"),
        ),
        1,
        "1 of 3",
    ),
}


MIGRATE = ("migrate", "heads", "--format", "json")


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
async def test_a_mistake_is_told_in_a_sentence(
    mistake: Mistake, served: Served, tmp_path: Path, dbops: RunDbops
) -> None:
    project = write(mistake.kind, tmp_path / "project", served.writer)
    ran = dbops(*MIGRATE, cwd=project.folder)
    assert ran.code == mistake.code, ran.out + ran.err
    assert mistake.said in ran.json["error"]["message"]
    assert "Traceback" not in ran.out + ran.err
    assert SECRET not in ran.out + ran.err


async def test_one_transaction_keeps_what_was_applied_at_its_last_commit(
    served: Served, tmp_path: Path, dbops: RunDbops
) -> None:
    kind = Kind(
        env=env_py(
            inside="connection.execute(text(\"SET LOCAL lock_timeout = '7s'\"))"
        ),
        revisions=chain(
            "op.execute('CREATE TABLE a (n int)')",
            "with op.get_context().autocommit_block():\n"
            "    op.execute('CREATE TABLE kept (n int)')",
            "op.execute('CREATE TABLE lost (n int)')",
            "1 / 0",
        ),
    )
    project = write(kind, tmp_path / "project", served.writer)
    ran = dbops(*MIGRATE, cwd=project.folder)
    assert "1 of 4 pending revisions are applied" in ran.json["error"]["message"]
    found = await migration_status(
        served.connectors(), Project(str(project.folder / "alembic.ini"))
    )
    assert found.current == ("r1",)


async def test_what_env_py_does_after_its_revisions_is_done_once(
    served: Served, tmp_path: Path, dbops: RunDbops
) -> None:
    kind = Kind(env=env_py(after="open('seeded', 'a').write('once')"))
    project = write(kind, tmp_path / "project", served.writer)
    assert dbops(*MIGRATE, cwd=project.folder).code == 0
    assert (project.folder / "seeded").read_text() == "once"
