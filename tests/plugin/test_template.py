"""What the databases of tests are copies of, whatever a project's env.py does."""

import asyncio
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dbops.endpoint import Endpoint
from dbops.engine.connect import connect
from dbops.errors import (
    DbopsError,
    FailedError,
    RefusedError,
    StaleReaderError,
    UsageError,
)
from dbops.integrations.testing import databases as databases_module
from dbops.integrations.testing.database import PairDatabase
from dbops.integrations.testing.databases import Databases
from dbops.integrations.testing.project import found_project, located
from dbops.integrations.testing.template import name_of, prepare
from dbops.integrations.testing.thread import LoopThread
from dbops.local.cleanup import finish
from dbops.local.state import Pair
from dbops.settings import load_settings

INI = """
[alembic]
script_location = %(here)s/migrations
path_separator = os
sqlalchemy.url = @URL@
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = ERROR
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic
[formatter_generic]
"""

# As Alembic's own template has it.
ENV = """
import os
from logging.config import fileConfig
from alembic import context
from sqlalchemy import create_engine, engine_from_config, pool

config = context.config
fileConfig(config.config_file_name)
seen = os.environ["DATABASE_URL"]
engine = @ENGINE@
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
"""
FROM_INI = "engine_from_config(config.get_section('alembic'), poolclass=pool.NullPool)"

REVISION = """
from alembic import op
revision = "one"
down_revision = None
def upgrade():
    op.execute("@SQL@")
"""

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an Alembic project; return the path of its configuration."""

    def written(
        *, url: str = "", engine: str = FROM_INI, sql: str = "CREATE TABLE t (n int)"
    ) -> str:
        versions = tmp_path / "migrations" / "versions"
        versions.mkdir(parents=True)
        (tmp_path / "alembic.ini").write_text(INI.replace("@URL@", url))
        (versions.parent / "env.py").write_text(ENV.replace("@ENGINE@", engine))
        (versions / "one.py").write_text(REVISION.replace("@SQL@", sql))
        return str(tmp_path / "alembic.ini")

    return written


@pytest.fixture
def thread() -> Generator[LoopThread]:
    with LoopThread() as thread:
        yield thread


@pytest.fixture
def databases(thread: LoopThread, pair: Pair) -> Generator[Databases]:
    databases = Databases(thread, pair)
    yield databases
    databases.close()


@pytest.fixture
def empty(databases: Databases) -> Generator[PairDatabase]:
    database = databases.create("a template")
    yield database
    databases.drop(database)


def tables(thread: LoopThread, database: PairDatabase) -> list[str]:
    async def ask() -> list[str]:
        connection = await connect(database.writer)
        try:
            rows = await connection.fetch(
                "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
            )
            return sorted(row[0] for row in rows)
        finally:
            await connection.close()

    return thread.call(ask())


def test_a_url_of_the_projects_own_is_not_followed(
    thread: LoopThread, empty: PairDatabase, write: Write
) -> None:
    prepare(thread, empty, write(url="postgresql+psycopg://nobody@192.0.2.1/prod"))
    assert tables(thread, empty) == ["alembic_version", "t"]


def test_env_py_reads_a_database_url_that_leads_to_no_template(
    thread: LoopThread,
    empty: PairDatabase,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = "create_engine(seen.replace('postgresql:', 'postgresql+psycopg:'))"
    monkeypatch.delenv("DATABASE_URL", raising=False)
    prepare(thread, empty, write(engine=engine))
    assert tables(thread, empty) == ["alembic_version", "t"]


def test_an_env_py_that_goes_elsewhere_all_the_same_is_refused(
    thread: LoopThread, empty: PairDatabase, databases: Databases, write: Write
) -> None:
    other = databases.create("other")
    place = other.writer
    assert place.password is not None
    creator = (
        "create_engine('postgresql+psycopg://', creator=lambda: "
        f"__import__('psycopg').connect(host='{place.addresses[0].host}', "
        f"port={place.addresses[0].port}, user='{place.user}', dbname='{other.name}', "
        f"password='{place.password.get_secret_value()}'))"
    )
    with pytest.raises(RefusedError, match=f"{other.name}.*nothing was migrated"):
        prepare(thread, empty, write(engine=creator))
    assert tables(thread, other) == []
    databases.drop(other)


def test_a_revision_that_fails_is_named(
    thread: LoopThread, empty: PairDatabase, write: Write
) -> None:
    with pytest.raises(FailedError, match="one"):
        prepare(thread, empty, write(sql="SELECT 1 / 0"))


@pytest.mark.parametrize("project", [42, object(), ["alembic.ini"]])
def test_what_is_no_project_is_said(
    thread: LoopThread, empty: PairDatabase, project: object
) -> None:
    with pytest.raises(UsageError, match="the fixture dbops_project returned"):
        prepare(thread, empty, project)


def test_none_leaves_the_databases_empty(
    thread: LoopThread, empty: PairDatabase
) -> None:
    prepare(thread, empty, None)
    assert tables(thread, empty) == []


def test_a_template_that_somebody_uses_is_copied_all_the_same(
    thread: LoopThread, empty: PairDatabase, databases: Databases
) -> None:
    left_open = thread.call(connect(empty.writer))
    copy = databases.create("copy", empty.name)
    assert copy.name.startswith("dbops_copy_")
    thread.call(left_open.close())
    databases.drop(copy)


class Replay:
    """The standby's replay, paused."""

    def __init__(self, thread: LoopThread, pair: Pair) -> None:
        self._thread, self._reader = thread, pair.reader

    def pause(self) -> None:
        self._thread.call(ask(self._reader, "SELECT pg_wal_replay_pause()"))

    def resume(self, after_s: float) -> None:
        """Go on, while whoever calls this does something else."""
        self._thread.call(self._begin_to_resume(after_s))

    async def _begin_to_resume(self, after_s: float) -> None:
        self._resuming = asyncio.create_task(self._resume(after_s))

    async def _resume(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await ask(self._reader, "SELECT pg_wal_replay_resume()")


@pytest.fixture
def replay(thread: LoopThread, pair: Pair) -> Generator[Replay]:
    replay = Replay(thread, pair)
    yield replay
    thread.call(ask(pair.reader, "SELECT pg_wal_replay_resume()"))


async def ask(endpoint: Endpoint, sql: str) -> object:
    connection = await connect(endpoint)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def test_only_who_asks_for_the_reader_waits_for_it(
    thread: LoopThread, databases: Databases, replay: Replay
) -> None:
    replay.pause()
    database = databases.create("late")
    assert thread.call(ask(database.writer, "SELECT 1")) == 1
    with pytest.raises(RefusedError, match="does not exist"):
        thread.call(ask(database.replica, "SELECT 1"))
    replay.resume(after_s=0.3)
    assert thread.call(ask(database.reader, "SELECT 1")) == 1
    databases.drop(database)


def test_catching_up_waits_for_what_was_committed(
    thread: LoopThread, empty: PairDatabase, replay: Replay
) -> None:
    has_table = "SELECT to_regclass('t')::text"
    assert thread.call(ask(empty.reader, has_table)) is None
    replay.pause()
    thread.call(ask(empty.writer, "CREATE TABLE t ()"))
    assert thread.call(ask(empty.reader, has_table)) is None
    replay.resume(after_s=0.3)
    empty.catch_up()
    assert thread.call(ask(empty.reader, has_table)) == "t"


def test_catching_up_needs_no_clock_of_ours(
    thread: LoopThread,
    empty: PairDatabase,
    replay: Replay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert empty.reader == empty.replica
    replay.pause()
    thread.call(ask(empty.writer, "CREATE TABLE t ()"))
    # As the usual packages stop it for a test.
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    resume = ask(empty.replica, "SELECT pg_wal_replay_resume()")
    timer = threading.Timer(0.2, asyncio.run, [resume])
    waiting = threading.Thread(target=empty.catch_up, daemon=True)
    for one in (timer, waiting):
        one.start()
    for one in (timer, waiting):
        one.join(20)
    monkeypatch.undo()
    assert not waiting.is_alive()


def test_a_standby_that_does_not_follow_is_said(
    thread: LoopThread,
    empty: PairDatabase,
    replay: Replay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert empty.reader == empty.replica
    replay.pause()
    thread.call(ask(empty.writer, "CREATE TABLE t ()"))
    monkeypatch.setattr(databases_module, "_REPLAY_LIMIT_S", 0.1)
    with pytest.raises(StaleReaderError, match="has not replayed"):
        empty.catch_up()


def test_our_connection_is_made_anew_when_a_test_has_ended_it(
    thread: LoopThread, databases: Databases
) -> None:
    first = databases.create("first")
    thread.call(_end_all_others(first))
    second = databases.create("second")
    for database in (first, second):
        databases.drop(database)


async def _end_all_others(database: PairDatabase) -> None:
    connection = await connect(database.writer)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'dbops pytest' AND pid <> pg_backend_pid()"
    )
    await connection.close()


def test_the_project_is_the_settings_or_that_of_the_folder(tmp_path: Path) -> None:
    settings = load_settings(flags={"alembic_config": "deploy/db.ini"})
    assert found_project(settings, tmp_path) == "deploy/db.ini"
    settings = load_settings()
    with pytest.raises(UsageError, match=r"no alembic.ini.*rootdir"):
        found_project(settings, tmp_path)
    toml = tmp_path / "pyproject.toml"
    toml.write_text("[project]\nname = 'x'\n")
    with pytest.raises(UsageError, match=r"no alembic.ini.*rootdir"):
        found_project(settings, tmp_path)
    toml.write_text("[tool.alembic]\n")
    assert found_project(settings, tmp_path) == str(toml)
    (tmp_path / "alembic.ini").write_text("[alembic]\n")
    assert found_project(settings, tmp_path) == str(tmp_path / "alembic.ini")


def test_a_relative_path_begins_here_or_in_the_rootdir(tmp_path: Path) -> None:
    ini = tmp_path / "deploy" / "db.ini"
    with pytest.raises(UsageError, match="configuration deploy/db"):
        located("deploy/db.ini", tmp_path)
    ini.parent.mkdir()
    ini.touch()
    assert located("deploy/db.ini", tmp_path) == ini
    assert located(str(ini), Path("elsewhere")) == ini
    assert located(None, tmp_path) is None


def test_a_template_that_is_none_is_said(empty: PairDatabase) -> None:
    assert name_of(empty) == empty.name
    for template, kind in ((None, "None"), (empty.name, "an object of type str")):
        with pytest.raises(UsageError, match=f"dbops_template returned {kind}"):
            name_of(template)


def test_a_history_without_revisions_is_said(
    thread: LoopThread, empty: PairDatabase, write: Write
) -> None:
    ini = write()
    (Path(ini).parent / "migrations" / "versions" / "one.py").unlink()
    with pytest.raises(UsageError, match="leads to no revisions"):
        prepare(thread, empty, ini)


def test_an_error_in_the_thread_is_raised_here(thread: LoopThread) -> None:
    async def fails() -> None:
        raise DbopsError("no")

    with pytest.raises(DbopsError, match="no"):
        thread.call(fails())


def test_who_is_interrupted_while_entering_clears_up_all_the_same() -> None:
    steps = []

    @asynccontextmanager
    async def slow() -> AsyncGenerator[None]:
        try:
            steps.append("entered")
            # Python sees no signal that comes just before its main thread waits.
            await asyncio.sleep(0.1)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            await asyncio.sleep(60)
            yield
        finally:
            await finish(clear_up())

    async def clear_up() -> None:
        await asyncio.to_thread(time.sleep, 0.2)
        steps.append("cleared up")

    def enter() -> None:
        with LoopThread() as thread:
            thread.enter(slow())

    with pytest.raises(KeyboardInterrupt):
        enter()
    assert steps == ["entered", "cleared up"]
