"""Many databases at once: what is done, what goes wrong, and what is left behind."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from dbops.engine.connect import connect
from dbops.engine.quoting import quoted_identifier, quoted_literal
from dbops.local.state import Pair
from dbops.operations.init import init
from tests.conftest import Ran, RunDbops, clean_environment, new_name

# What a revision runs to be still at it when something happens.
SLEEP = "SELECT pg_sleep(600)"
SLEEPING = """
    SELECT datname FROM pg_stat_activity
     WHERE state = 'active' AND query LIKE '%pg_sleep(600)%'
       AND pid <> pg_backend_pid()
"""


def write_revision(project: Path, name: str, down: str | None, *sql: str) -> None:
    lines = "\n    ".join(f"op.execute({text!r})" for text in sql)
    (project / "migrations" / "versions" / f"{name}.py").write_text(
        f'"""do {name}"""\n'
        "from alembic import op\n"
        f"revision, down_revision = {name!r}, {down!r}\n"
        f"def upgrade():\n    {lines}\n"
        "def downgrade():\n    pass\n"
    )


def write_synchronous_env(project: Path) -> None:
    """Write an env.py that connects by itself, to the DATABASE_URL of all tenants."""
    (project / "migrations" / "env.py").write_text(
        "import os\n"
        "from alembic import context\n"
        "from sqlalchemy import create_engine\n"
        "url = os.environ['DATABASE_URL'].partition('?')[0]\n"
        "url = url.replace('postgresql://', 'postgresql+psycopg://')\n"
        "with create_engine(url).connect() as connection:\n"
        "    context.configure(connection=connection)\n"
        "    with context.begin_transaction():\n"
        "        context.run_migrations()\n"
    )


def listing(column: str, values: list[str]) -> str:
    """Return a query whose rows are `values`, in their order."""
    rows = ", ".join(f"({quoted_literal(value)})" for value in values)
    return f"SELECT * FROM (VALUES {rows}) AS listed ({column})"  # noqa: S608 # quoted


def only_in(database: str, sql: str) -> str:
    """Return SQL that does something in one of the databases only."""
    where = f"current_database() = {quoted_literal(database)}"
    return f"DO $$ BEGIN IF {where} THEN {sql}; END IF; END $$"


@dataclass
class Fleet:
    """Databases of one test, and a project for them."""

    pair: Pair
    project: Path
    cache_dir: Path
    dbops: RunDbops
    names: list[str] = field(default_factory=list)
    """The databases."""
    listed: list[str] | None = None
    """What the query lists; the databases by default."""
    column: str = "database"
    """What it calls that."""
    base: str = "postgres"
    """Where it is asked."""

    @property
    def environment(self) -> dict[str, str]:
        url = self.pair.writer.with_database(self.base).url(show_password=True)
        return {**clean_environment(self.cache_dir), "DATABASE_URL": url}

    def words(self, command: str = "migrate") -> list[str]:
        listed = self.names if self.listed is None else self.listed
        query = listing(self.column, listed)
        return [command, "--format", "json", "--targets-sql", query]

    async def create(self, *names: str) -> None:
        admin = await connect(self.pair.writer)
        for name in names:
            await admin.execute(
                f"CREATE DATABASE {quoted_identifier(name)} TEMPLATE template0"
            )
            self.names.append(name)
        await admin.close()

    async def ask(self, sql: str, database: str | None = None) -> list[Any]:
        """Return the first column of a query."""
        endpoint = self.pair.writer
        if database is not None:
            endpoint = endpoint.with_database(database)
        connection = await connect(endpoint)
        try:
            return [row[0] for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    async def tables(self, database: str) -> set[str]:
        sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
        return set(await self.ask(sql, database))

    async def until_sleeping(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(await self.ask(SLEEPING)) < count:
                await asyncio.sleep(0.05)

    async def until_nobody_sleeps(self, limit_s: float) -> None:
        async with asyncio.timeout(limit_s):
            while await self.ask(SLEEPING):
                await asyncio.sleep(0.05)

    async def started(self, *words: str, command: str = "migrate") -> Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dbops", *self.words(command), *words),
            env=self.environment,
            cwd=self.project,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )

    async def ran(self, *words: str, command: str = "migrate") -> Ran:
        """Run to the end, in a process that need not import the libraries."""
        return await asyncio.to_thread(
            self.dbops,
            *(*self.words(command), *words),
            env=self.environment,
            cwd=self.project,
            timeout_s=90,
        )


async def ended(process: Process) -> Ran:
    async with asyncio.timeout(90):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


def children(process: Process) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in listed.split()]


def is_file(path: Path) -> bool:
    return path.is_file()


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists()


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def codes(ran: Ran) -> dict[str, int]:
    return {it["target"]: it["exit_code"] for it in ran.json["targets"]}


@pytest.fixture
async def fleet(
    pair: Pair, tmp_path: Path, cache_dir: Path, dbops: RunDbops
) -> AsyncGenerator[Fleet]:
    await init(tmp_path)
    write_revision(tmp_path, "a1", None, "CREATE TABLE a (n int)")
    write_revision(tmp_path, "b2", "a1", "CREATE TABLE b (n int)")
    fleet = Fleet(pair, tmp_path, cache_dir, dbops)
    yield fleet
    admin = await connect(pair.writer)
    for name in fleet.names:
        quoted = quoted_identifier(name)
        await admin.execute(f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")
    await admin.close()


def some_names(count: int) -> list[str]:
    prefix = new_name("f")
    return [f"{prefix}_{number:02}" for number in range(count)]


async def test_all_are_migrated_and_the_second_time_nothing_is_begun(
    fleet: Fleet,
) -> None:
    await fleet.create(*some_names(5))
    first = await fleet.ran()
    assert first.code == 0, first.err
    assert list(codes(first)) == fleet.names
    for name in fleet.names:
        assert await fleet.tables(name) == {"alembic_version", "a", "b"}
    # Nothing to do is found out without a process of its own and without Alembic.
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "importtime", "-m", "dbops", *fleet.words(), "-q"),
        env=fleet.environment,
        cwd=fleet.project,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    ran = await ended(second)
    assert ran.code == 0
    assert [it["result"]["applied"] for it in ran.json["targets"]] == [[]] * 5
    modules = {line.rpartition("|")[2].strip() for line in ran.err.splitlines()}
    assert "asyncpg" in modules
    assert modules.isdisjoint({"alembic", "sqlalchemy"})


async def test_one_missing_one_failing_and_one_locked_do_not_stop_the_others(
    fleet: Fleet, tmp_path_factory: pytest.TempPathFactory
) -> None:
    names = some_names(20)
    missing, failing, locked = names[3], names[7], names[11]
    await fleet.create(*(name for name in names if name != missing))
    fleet.listed = names
    await fleet.ask("CREATE TABLE b (taken int)", failing)
    elsewhere = tmp_path_factory.mktemp("other")
    other = replace(fleet, project=elsewhere, names=[locked], listed=None)
    await init(other.project)
    write_revision(other.project, "x1", None, SLEEP)
    migrator = await other.started()
    await fleet.until_sleeping(1)
    try:
        ran = await fleet.ran("--lock-timeout", "500ms")
    finally:
        migrator.terminate()
        await ended(migrator)
    assert ran.code == 8
    assert ran.json["exit_code"] == 8
    assert list(codes(ran)) == names
    assert codes(ran) == {
        **dict.fromkeys(names, 0),
        missing: 6,
        failing: 1,
        locked: 7,
    }
    errors = {it["target"]: it["error"] for it in ran.json["targets"] if it["error"]}
    assert "does not exist" in errors[missing]["message"]
    assert "revision b2 failed" in errors[failing]["message"]
    assert await fleet.tables(failing) == {"alembic_version", "a", "b"}
    assert f"{failing}: error: revision b2 failed" in ran.err
    assert "20 targets: 17 ok, 3 failed" in ran.err


async def test_a_worker_that_is_killed_costs_one_target(fleet: Fleet) -> None:
    await fleet.create(*some_names(4))
    write_revision(fleet.project, "c3", "b2", only_in(fleet.names[1], _perform(SLEEP)))
    process = await fleet.started("--jobs", "1")
    await fleet.until_sleeping(1)
    (worker,) = children(process)
    os.kill(worker, signal.SIGKILL)
    ran = await ended(process)
    assert ran.code == 8
    assert list(codes(ran).values()) == [0, 70, 0, 0]
    error = ran.json["targets"][1]["error"]
    assert error["type"] == "ProcessLost"
    assert "SIGKILL" in error["message"]
    assert "unknown" in error["message"]
    await fleet.until_nobody_sleeps(3)


async def test_sigterm_ends_every_statement_and_says_what_was_not_done(
    fleet: Fleet,
) -> None:
    await fleet.create(*some_names(5))
    write_revision(fleet.project, "c3", "b2", _perform_in(fleet.names[1:]))
    process = await fleet.started("--jobs", "2")
    await fleet.until_sleeping(2)
    process.terminate()
    ran = await ended(process)
    assert await fleet.ask(SLEEPING) == []
    assert ran.code == 143
    assert ran.json["exit_code"] == 143
    done, first, second, *rest = ran.json["targets"]
    assert done["exit_code"] == 0
    for it in (first, second):
        assert it["exit_code"] in (1, 143)
        assert it["error"]["message"]
    for it in rest:
        assert it["exit_code"] == 143
        assert it["status"] == "unknown"
        assert it["error"]["message"] == "not begun: interrupted by SIGTERM"
    for name in fleet.names[1:3]:
        assert await fleet.tables(name) == {"alembic_version", "a", "b"}
    for name in fleet.names[3:]:
        assert await fleet.tables(name) == set()


async def test_workers_do_not_outlive_a_command_that_is_killed(fleet: Fleet) -> None:
    await fleet.create(*some_names(2))
    write_revision(fleet.project, "c3", "b2", SLEEP)
    process = await fleet.started("--jobs", "2")
    await fleet.until_sleeping(2)
    workers = children(process)
    process.kill()
    await process.wait()
    await fleet.until_nobody_sleeps(5)
    async with asyncio.timeout(15):
        while any(map(is_there, workers)):
            await asyncio.sleep(0.05)


async def test_ctrl_c_at_a_terminal_ends_the_statements_too(fleet: Fleet) -> None:
    await fleet.create(*some_names(2))
    write_revision(fleet.project, "c3", "b2", SLEEP)
    process = await fleet.started()
    await fleet.until_sleeping(2)
    # The terminal tells the whole process group, the workers included.
    os.killpg(process.pid, signal.SIGINT)
    ran = await ended(process)
    assert ran.code == 130
    assert await fleet.ask(SLEEPING) == []
    assert [it["error"] is None for it in ran.json["targets"]] == [False, False]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_revision_that_does_not_listen_is_not_waited_for_for_ever(
    fleet: Fleet, number: int
) -> None:
    await fleet.create(*some_names(1))
    marker = fleet.project / "begun"
    write_revision(fleet.project, "c3", "b2", "SELECT 1")
    revision = fleet.project / "migrations" / "versions" / "c3.py"
    body = f"import time; open({str(marker)!r}, 'w').close(); time.sleep(600); op."
    revision.write_text(revision.read_text().replace("op.", body, 1))
    process = await fleet.started()
    async with asyncio.timeout(60):
        while not is_file(marker):
            await asyncio.sleep(0.05)
    (worker,) = children(process)
    process.send_signal(number)
    ran = await ended(process)
    assert ran.code == (143 if number == signal.SIGTERM else -9)
    async with asyncio.timeout(15):
        while is_there(worker):
            await asyncio.sleep(0.05)
    assert await fleet.tables(fleet.names[0]) == {"alembic_version", "a", "b"}


async def test_the_time_out_is_each_targets_own(fleet: Fleet) -> None:
    await fleet.create(*some_names(3))
    write_revision(fleet.project, "c3", "b2", only_in(fleet.names[0], _perform(SLEEP)))
    ran = await fleet.ran("--timeout", "6s", "--jobs", "1")
    assert list(codes(ran).values()) == [5, 0, 0]
    assert "not done within" in ran.json["targets"][0]["error"]["message"]
    await fleet.until_nobody_sleeps(3)


async def test_no_password_is_on_a_command_line(fleet: Fleet) -> None:
    await fleet.create(*some_names(1))
    write_revision(fleet.project, "c3", "b2", SLEEP)
    process = await fleet.started()
    await fleet.until_sleeping(1)
    password = fleet.pair.writer.password
    assert password is not None
    (worker,) = children(process)
    line = command_line(worker)
    process.terminate()
    ran = await ended(process)
    secret = password.get_secret_value()
    assert secret.encode() not in line
    assert secret not in ran.out + ran.err


async def test_a_canary_that_fails_leaves_the_others_untouched(fleet: Fleet) -> None:
    await fleet.create(*some_names(4))
    await fleet.ask("CREATE TABLE b (taken int)", fleet.names[0])
    ran = await fleet.ran("--canary", "1")
    assert ran.code == 8
    assert list(codes(ran).values()) == [1, 8, 8, 8]
    assert {it["status"] for it in ran.json["targets"][1:]} == {"unknown"}
    assert fleet.names[0] in ran.json["targets"][1]["error"]["message"]
    for name in fleet.names[1:]:
        assert await fleet.tables(name) == set()
    assert "1 failed, 3 skipped" in ran.err


async def test_a_canary_that_sings_lets_the_others_follow(fleet: Fleet) -> None:
    await fleet.create(*some_names(3))
    # The first has no work left: the second is the canary.
    await fleet.ran("--jobs", "1")
    write_revision(
        fleet.project, "c3", "b2", only_in(fleet.names[1], "RAISE 'no song'")
    )
    await fleet.ask("UPDATE alembic_version SET version_num = 'c3'", fleet.names[0])
    ran = await fleet.ran("--canary", "1")
    assert list(codes(ran).values()) == [0, 1, 8]
    await fleet.ask("UPDATE alembic_version SET version_num = 'c3'", fleet.names[1])
    ran = await fleet.ran("--canary", "1")
    assert ran.code == 0
    applied = [it["result"]["applied"] for it in ran.json["targets"]]
    assert [len(steps) for steps in applied] == [0, 0, 1]


async def test_resume_takes_up_what_the_report_does_not_call_done(
    fleet: Fleet,
) -> None:
    await fleet.create(*some_names(4))
    await fleet.ask("CREATE TABLE b (taken int)", fleet.names[2])
    report = fleet.project / "report.json"
    first = await fleet.ran()
    assert first.code == 8
    report.write_text(first.out)
    # Whatever the report calls done is not even connected to.
    await fleet.ask(f'DROP DATABASE "{fleet.names[0]}"')
    await fleet.ask("DROP TABLE b", fleet.names[2])
    second = await fleet.ran("--resume", str(report))
    assert second.code == 0, second.err
    assert codes(second) == dict.fromkeys(fleet.names, 0)
    assert [len(it["result"]["applied"]) for it in second.json["targets"]] == [
        *(2, 2),
        *(1, 2),
    ]
    assert f"{fleet.names[0]}: done by the earlier run" in second.err
    # The new report is whole, and can be resumed from again.
    report.write_text(second.out)
    assert (await fleet.ran("--resume", str(report))).code == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("{", "it is not JSON"),
        ("[]", "no report of several targets"),
        ('{"command": "ping", "targets": []}', "report of 'ping'"),
        ('{"command": "migrate", "target": "x"}', "no report of several targets"),
    ],
)
async def test_a_report_that_is_none_is_a_usage_error(
    fleet: Fleet, text: str | None, says: str
) -> None:
    await fleet.create(*some_names(1))
    report = fleet.project / "report.json"
    if text is not None:
        report.write_text(text)
    ran = await fleet.ran("--resume", str(report))
    assert ran.code == 2
    assert says in ran.json["error"]["message"]
    assert await fleet.tables(fleet.names[0]) == set()


HOSTILE = [
    "q\"uo'te\\s",
    "per%cent%20and%s",
    "ünïcödé 資料庫",
    "sp ace;DROP TABLE a--",
    "$HOME/../x?y#z@h:1",
    "l" * 50,
]


async def test_hostile_names_of_databases_are_only_names(fleet: Fleet) -> None:
    prefix = new_name("h")
    await fleet.create(*(f"{prefix}{name}" for name in HOSTILE))
    ran = await fleet.ran()
    assert ran.code == 0, ran.err
    assert list(codes(ran)) == fleet.names
    for name in fleet.names:
        assert await fleet.tables(name) == {"alembic_version", "a", "b"}


@pytest.mark.parametrize("env", ["borrowing", "synchronous"])
async def test_a_schema_per_tenant(fleet: Fleet, env: str) -> None:
    (database,) = some_names(1)
    await fleet.create(database)
    connection = await connect(fleet.pair.writer.with_database(database))
    for name in HOSTILE:
        await connection.execute(f"CREATE SCHEMA {quoted_identifier(name)}")
    await connection.close()
    if env == "synchronous":
        write_synchronous_env(fleet.project)
    fleet.base, fleet.column = database, "schema"
    fleet.listed = [*HOSTILE, "not there"]
    ran = await fleet.ran()
    assert ran.code == 8, ran.err
    assert codes(ran) == {**dict.fromkeys(HOSTILE, 0), "not there": 6}
    assert "'not there' does not exist" in ran.json["targets"][-1]["error"]["message"]
    sql = "SELECT schemaname::text FROM pg_tables WHERE tablename = 'b' ORDER BY 1"
    assert sorted(await fleet.ask(sql, database)) == sorted(HOSTILE)
    sql = sql.replace("'b'", "'alembic_version'")
    assert sorted(await fleet.ask(sql, database)) == sorted(HOSTILE)
    assert await fleet.tables(database) == set()


async def test_env_py_hears_which_tenant_it_is_for(fleet: Fleet) -> None:
    await fleet.create(*some_names(1))
    env = fleet.project / "migrations" / "env.py"
    told = (
        "open('heard', 'w').write(context.get_x_argument(as_dictionary=True)['tenant'])"
    )
    env.write_text(f"from alembic import context\n{told}\n" + env.read_text())
    fleet.base, fleet.column, fleet.listed = fleet.names[0], "schema", ["public"]
    assert (await fleet.ran()).code == 0
    assert (fleet.project / "heard").read_text() == "public"


async def test_an_env_py_that_names_a_database_is_led_to_the_tenant(
    fleet: Fleet,
) -> None:
    await fleet.create(*some_names(2))
    write_synchronous_env(fleet.project)
    ran = await fleet.ran()
    assert ran.code == 0, ran.err
    for name in fleet.names:
        assert await fleet.tables(name) == {"alembic_version", "a", "b"}
    assert "a" not in await fleet.tables(fleet.pair.writer.database or "")
    status = await fleet.ran(command="status")
    assert status.code == 0, status.err
    assert [it["result"]["state"] for it in status.json["targets"]] == ["at_head"] * 2


async def test_what_env_py_prints_is_shown_where_it_helps(fleet: Fleet) -> None:
    await fleet.create(*some_names(2))
    env = fleet.project / "migrations" / "env.py"
    env.write_text("print('hello from env.py')\n" + env.read_text())
    await fleet.ask("CREATE TABLE b (taken int)", fleet.names[1])
    ran = await fleet.ran()
    assert f"{fleet.names[1]}| hello from env.py" in ran.err
    assert f"{fleet.names[0]}| hello from env.py" not in ran.err
    assert ran.json["exit_code"] == 8


def _perform(sql: str) -> str:
    return sql.replace("SELECT", "PERFORM", 1)


def _perform_in(databases: list[str]) -> str:
    listed = ", ".join(map(quoted_literal, databases))
    return (
        f"DO $$ BEGIN IF current_database() IN ({listed}) "
        f"THEN {_perform(SLEEP)}; END IF; END $$"
    )


async def test_the_sql_of_several_says_whose_it_is(fleet: Fleet) -> None:
    await fleet.create(*some_names(2))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dbops", "migrate", "--sql", "-q", "--targets-sql"),
        listing("database", fleet.names),
        env=fleet.environment,
        cwd=fleet.project,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    ran = await ended(process)
    assert ran.code == 0, ran.err
    heads = [line for line in ran.out.splitlines() if line.startswith("-- target:")]
    assert heads == [f"-- target: {name}" for name in fleet.names]
    assert ran.out.count("CREATE TABLE b") == 2
    assert await fleet.tables(fleet.names[0]) == set()


async def test_a_table_tells_what_was_done_where(fleet: Fleet) -> None:
    await fleet.create(*some_names(5))
    env = fleet.project / "migrations" / "env.py"
    env.write_text("print('hello from env.py')\n" + env.read_text())
    words = ("--targets-sql", listing("database", fleet.names))
    for command, code, outcome in (
        ("status", 8, "empty, 2 pending"),
        ("migrate", 0, "2 applied"),
        ("migrate", 0, "nothing to apply"),
        ("status", 0, "at head"),
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dbops", command, *words),
            env=fleet.environment,
            cwd=fleet.project,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        ran = await ended(process)
        assert ran.code == code
        assert ran.out.count(outcome) == 5
        assert "[5/5] " in ran.err
        assert "hello" not in ran.err


async def test_a_fleet_is_rolled_back_with_a_canary(fleet: Fleet) -> None:
    await fleet.create(*some_names(3))
    assert (await fleet.ran()).code == 0
    # A view that the way back does not know of stands in the canary's way.
    revision = fleet.project / "migrations" / "versions" / "b2.py"
    text = revision.read_text().replace("    pass", "    op.execute('DROP TABLE b')")
    revision.write_text(text)
    await fleet.ask("CREATE VIEW v AS SELECT * FROM b", fleet.names[0])
    first = await fleet.ran("--yes", "--canary", "1", command="rollback")
    assert list(codes(first).values()) == [1, 8, 8]
    await fleet.ask("DROP VIEW v", fleet.names[0])
    second = await fleet.ran("--yes", "--canary", "1", command="rollback")
    assert second.code == 0, second.err
    for name in fleet.names:
        assert await fleet.tables(name) == {"alembic_version", "a"}
    unconfirmed = await fleet.ran(command="rollback")
    assert list(codes(unconfirmed).values()) == [6, 6, 6]
