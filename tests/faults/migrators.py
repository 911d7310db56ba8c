"""Projects that race, and migrators that are raced, killed and asked to end."""

import asyncio
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic.config import main as alembic

from dbops.cli import main as dbops
from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, connect
from dbops.operations.init import starter_folder
from tests.conftest import Ran, Served, clean_environment, new_name
from tests.revisions import write_revision

LIMIT_S = 60.0
_IMPORTED = (
    "alembic.config",
    "asyncpg",
    "dbops.cli",
    "dbops.operations.migrate.upgrade",
    "psycopg",
    "sqlalchemy.ext.asyncio",
    "sqlalchemy.orm",
    "tests.faults.migrators",
)

_SYNC = """
from alembic import context
from sqlalchemy import engine_from_config, pool

connectable = engine_from_config(
    context.config.get_section(context.config.config_ini_section, {{}}),
    prefix="sqlalchemy.", poolclass=pool.NullPool,
)
with connectable.connect() as connection:
    {before}
    context.configure(connection=connection{options})
    with {around}:
        context.run_migrations()
    {after}
"""
_ASYNC = """
import asyncio
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import async_engine_from_config

def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    connectable = async_engine_from_config(
        context.config.get_section(context.config.config_ini_section, {}),
        prefix="sqlalchemy.", poolclass=pool.NullPool,
    )
    async with connectable.connect() as connection:
        await connection.run_sync(run)
    await connectable.dispose()

asyncio.run(main())
"""


def sync_env(
    before: str = "pass",
    options: str = "",
    around: str = "context.begin_transaction()",
    after: str = "pass",
) -> str:
    """Return an env.py of Alembic's generic template, with a difference."""
    return _SYNC.format(before=before, options=options, around=around, after=after)


KINDS: Mapping[str, tuple[str, str]] = {
    "dbops init's": ("", ""),
    "psycopg": ("psycopg", sync_env()),
    "asyncpg": ("asyncpg", _ASYNC),
    "one transaction": (
        "psycopg",
        sync_env(
            before="transaction = connection.begin()",
            around="context.begin_transaction()",
            after="transaction.commit()",
        ),
    ),
}
"""Each kind's driver and env.py; the first borrows dbops' connection."""

COUNT = "op.execute('UPDATE counter SET n = n + 1')"
VARIANTS: Mapping[str, str] = {
    "plain": "op.execute('ALTER TABLE counter ADD x int')",
    "concurrently": """
        with op.get_context().autocommit_block():
            op.execute('CREATE INDEX CONCURRENTLY counter_n ON counter (n)')
    """,
    "autocommit data": f"with op.get_context().autocommit_block():\n    {COUNT}",
    "transactional data": COUNT,
}


def write_project(folder: Path, kind: str, url: str | None = None) -> Path:
    """Write a project whose first revision makes a counter that is 0.

    Args:
        folder: Where; made when missing.
        kind: One of KINDS.
        url: The database that alembic.ini names; None leaves it to DATABASE_URL.
    """
    driver, env = KINDS[kind]
    return write_env(folder, env, driver=driver, url=url)


def write_env(
    folder: Path, env: str, *, driver: str = "psycopg", url: str | None = None
) -> Path:
    """Write such a project with an env.py; an empty one is that of `dbops init`."""
    (folder / "migrations" / "versions").mkdir(parents=True, exist_ok=True)
    env = env or (starter_folder() / "migrations" / "env.py").read_text()
    (folder / "migrations" / "env.py").write_text(env)
    # What libpq reads after the question mark, SQLAlchemy's asyncpg does not.
    named = (url or "").partition("?")[0]
    named = named.replace("postgresql:", f"postgresql+{driver}:", 1)
    (folder / "alembic.ini").write_text(
        "[alembic]\nscript_location = %(here)s/migrations\n"
        + (f"sqlalchemy.url = {named.replace('%', '%%')}\n" if named else "")
    )
    write_revision(
        folder, "a1", None, "op.execute('CREATE TABLE counter AS SELECT 0 AS n')"
    )
    return folder


@asynccontextmanager
async def fresh(
    writer: Endpoint, reader: Endpoint | None = None
) -> AsyncGenerator[Served]:
    """Make an empty database for the block."""
    name = new_name("race")
    admin = await connect(writer)
    try:
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        yield Served(
            name, writer.with_database(name), (reader or writer).with_database(name)
        )
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


@dataclass
class Migrator:
    """A process of `dbops` or `alembic`, forked from one that has imported both."""

    words: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    _said: Path = field(init=False)
    _process: Any = field(init=False)

    def __post_init__(self) -> None:
        """Start it."""
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload(list(_IMPORTED))
        self._said = Path(tempfile.mkdtemp(prefix="dbops-migrator-"))
        arguments = (list(self.words), self.folder, dict(self.environment), self._said)
        self._process = forks.Process(target=_be, args=arguments)
        self._process.start()

    @property
    def err(self) -> str:
        """What it has said on stderr so far."""
        return self._read("err")

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return bool(self._process.is_alive())

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    async def ended(self, limit_s: float = LIMIT_S) -> Ran:
        """Wait for its end; one that hangs is killed, and its code is -9."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self.is_running:
                    await asyncio.sleep(0.01)
        self._process.kill()
        self._process.join()
        code = self._read("code") or self._process.exitcode
        ran = Ran(int(code), self._read("out"), self.err)
        shutil.rmtree(self._said)
        return ran

    def _read(self, name: str) -> str:
        path = self._said / name
        return path.read_text() if path.exists() else ""


def _be(
    words: list[str], folder: Path, environment: dict[str, str], said: Path
) -> None:
    """Be that process."""
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(said / name, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.argv[:] = words
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    code: object = 0
    try:
        if words[0] == "alembic":
            alembic()
        else:
            dbops()
    except SystemExit as ended:
        code = ended.code or 0
    except Exception:  # noqa: BLE001 # as Python itself does
        traceback.print_exc()
        code = 1
    (said / "code").write_text(str(code))


def migrator(
    project: Path,
    served: Served,
    *words: str,
    command: Sequence[str] = ("dbops", "migrate", "--format", "json"),
    **variables: str,
) -> Migrator:
    """Start a migrator of `project`; it needs no cache folder."""
    environment = {
        **clean_environment(project),
        **served.environment,
        **variables,
    }
    return Migrator([*command, *words], project, environment)


async def counted(served: Served) -> int:
    """Return how often the counter was changed."""
    return int(await asked(served, "SELECT n FROM counter"))


async def asked(served: Served, sql: str, *arguments: object) -> Any:  # noqa: ANN401 # any value
    """Ask the database for one value."""
    connection = await connect(served.writer)
    try:
        return await connection.fetchval(sql, *arguments)
    finally:
        await connection.close()


async def until(served: Served, condition: str, *, limit_s: float = 10.0) -> None:
    """Poll until an SQL condition holds."""
    watcher = await connect(served.writer)
    try:
        await holds(watcher, condition, limit_s=limit_s)
    finally:
        await watcher.close()


async def holds(watcher: Connection, condition: str, *, limit_s: float = 10.0) -> None:
    """Poll over a connection until an SQL condition holds."""
    try:
        async with asyncio.timeout(limit_s):
            while not await watcher.fetchval(f"SELECT {condition}"):
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"within {limit_s:g} s not true: {condition}") from None


LOCKED = """EXISTS (SELECT FROM pg_catalog.pg_locks l
    JOIN pg_catalog.pg_database d ON d.oid = l.database
   WHERE l.locktype = 'advisory' AND l.granted
     AND d.datname = pg_catalog.current_database())"""
"""Somebody holds the migration lock of this database."""

CROWD = """(SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity
   WHERE datname = pg_catalog.current_database() AND backend_type = 'client backend'
     AND pid <> pg_catalog.pg_backend_pid())"""
"""How many others are connected."""


def running(text: str) -> str:
    """Return the condition that a statement with this text is under way."""
    return f"""EXISTS (SELECT FROM pg_catalog.pg_stat_activity
       WHERE datname = pg_catalog.current_database() AND state = 'active'
         AND pid <> pg_catalog.pg_backend_pid() AND query LIKE '%{text}%')"""
