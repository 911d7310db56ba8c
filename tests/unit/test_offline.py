"""SQL without a server: as Alembic prints it, and where Alembic breaks too."""

import asyncio
import io
import os
import textwrap
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from dbops.errors import ConfigError, FailedError, RefusedError, UsageError
from dbops.operations.init import init
from dbops.operations.migrate.offline.script import MigrationSql, migration_sql, render
from dbops.operations.migrate.process import process_as_it_was
from dbops.operations.migrate.project import Project
from tests.rich_revisions import write_revision

TEMPLATES = ["generic", "async", "pyproject", "pyproject_async", "multidb"]

TABLES = """
mood = sa.Enum("glad", "sad", name="mood")
t = op.create_table(
    "t",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("mood", mood, nullable=False),
    sa.Column("rate", sa.String, server_default="5%"),
    sa.CheckConstraint("rate LIKE '%%%'", name="in_percent"),
)
op.bulk_insert(t, [{"mood": "glad", "rate": "it's 5%"}, {"mood": "sad", "rate": None}])
op.execute("UPDATE t SET rate = '7%' WHERE rate LIKE '5%'")
op.execute(t.update().where(t.c.mood.in_(["glad", "sad"])).values(rate="9%"))
"""
OUTSIDE = """
op.add_column("t", sa.Column("n", sa.Integer))
with op.get_context().autocommit_block():
    op.create_index("t_n", "t", ["n"], postgresql_concurrently=True)
op.alter_column("t", "n", server_default="0")
"""


@pytest.fixture
async def project(tmp_path: Path) -> Path:
    """A project as `dbops init` makes it, with three revisions."""
    await init(tmp_path)
    write_revision(tmp_path, "a1", None, "op.execute('CREATE TABLE a (n int)')")
    write_revision(tmp_path, "b2", "a1", "op.execute('CREATE TABLE b (n int)')")
    write_revision(tmp_path, "c3", "b2", "op.execute('CREATE TABLE c (n int)')")
    return tmp_path


def opened(folder: Path) -> Project:
    return Project(str(folder / "alembic.ini"))


async def of_template(folder: Path, template: str) -> Project:
    """Make a project of one of Alembic's own templates, with branches and a merge."""
    ini, toml = folder / "alembic.ini", folder / "pyproject.toml"
    config = Config(str(ini), toml_file=str(toml))
    command.init(config, str(folder / "migrations"), template=template)
    write_revision(folder, "a1", None, TABLES)
    write_revision(folder, "b2", "a1", OUTSIDE)
    write_revision(folder, "x2", "a1", "op.drop_column('t', 'rate')")
    write_revision(folder, "m3", ("b2", "x2"))
    return Project(str(toml if template.startswith("pyproject") else ini))


def env_of(project: Project) -> Path:
    return Path(project.script.env_py_location)


def as_alembic_prints(project: Project, revisions: str) -> str:
    """Let Alembic render, one transaction a revision and told of a dialect."""
    env = env_of(project)
    before = env.read_text()
    env.write_text(
        before.replace(
            "literal_binds=True,",
            "literal_binds=True,\n        transaction_per_migration=True,",
        )
    )
    config = Config(
        project.config.config_file_name,
        toml_file=project.config.toml_file_name,
        output_buffer=(printed := io.StringIO()),
    )
    for section in ("alembic", "engine1", "engine2"):
        config.set_section_option(section, "sqlalchemy.url", "postgresql://")
    with process_as_it_was():
        command.upgrade(config, revisions, sql=True)
    env.write_text(before)
    return printed.getvalue()


@pytest.mark.parametrize("revisions", ["base:head", "a1:m3", "b2:head", "base:x2"])
@pytest.mark.parametrize("template", TEMPLATES[:-1])
async def test_each_byte_is_alembics_own(
    tmp_path: Path, template: str, revisions: str
) -> None:
    project = await of_template(tmp_path, template)
    found = await migration_sql(project, revisions)
    assert found.sql == as_alembic_prints(project, revisions)
    assert found.problem is None
    assert found.outcome == "ok"


async def test_nobody_asks_which_folder_it_is_run_in(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = Path.cwd()
    gone = tmp_path_factory.mktemp("gone")
    try:
        os.chdir(gone)
        gone.rmdir()
        assert (await migration_sql(opened(project), "base:head")).outcome == "ok"
    finally:
        os.chdir(before)


async def test_each_byte_is_alembics_own_with_the_env_py_of_dbops(
    project: Path,
) -> None:
    write_revision(project, "d4", "c3", TABLES)
    write_revision(project, "e5", "d4", OUTSIDE)
    found = await migration_sql(opened(project), "base:head")
    assert found.sql == as_alembic_prints(opened(project), "base:head")


async def test_several_databases_stand_below_each_other_and_no_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "engine1.sql").write_text("mine")
    project = await of_template(tmp_path, "multidb")
    found = await migration_sql(project, "base:head")
    assert (tmp_path / "engine1.sql").read_text() == "mine"
    assert not (tmp_path / "engine2.sql").exists()
    as_alembic_prints(project, "base:head")
    assert found.sql == "".join(
        f"-- dbops: what env.py writes to {name}\n\n{(tmp_path / name).read_text()}"
        for name in ("engine1.sql", "engine2.sql")
    )
    assert [it.revision for it in found.revisions] == 2 * ["a1", "x2", "b2", "m3"]


async def test_each_revision_has_its_own_statements_and_no_more(tmp_path: Path) -> None:
    project = await of_template(tmp_path, "generic")
    a1, x2, b2, m3 = await render(project)
    assert a1.sql.startswith("CREATE TYPE mood AS ENUM")
    assert "alembic_version" not in a1.sql + x2.sql + b2.sql + m3.sql
    assert "Running" not in a1.sql
    assert x2.sql == "ALTER TABLE t DROP COLUMN rate;"
    assert (m3.sql, m3.message) == ("", "do m3")
    assert Path(x2.path).name == "x2.py"
    assert [it.transactional for it in (a1, x2, b2, m3)] == [True, True, False, True]
    assert "COMMIT;\n\nCREATE INDEX CONCURRENTLY t_n ON t (n);\n\nBEGIN;" in b2.sql


async def test_without_a_server_the_whole_history_is_rendered(project: Path) -> None:
    write_revision(project, "x3", "b2")
    revisions = [it.revision for it in await render(opened(project))]
    assert sorted(revisions) == ["a1", "b2", "c3", "x3"]
    assert revisions[:2] == ["a1", "b2"]


BROKEN = {
    "an answer": "op.get_bind().execute(sa.text('SELECT 1')).fetchall()",
    "a loop": "for row in op.get_bind().execute(sa.text('SELECT 1')): print(row)",
    "a condition": "if op.get_bind().execute(sa.text('SELECT 1')): pass",
    "a swallowed answer": """
        try:
            op.get_bind().execute(sa.text('SELECT 1')).scalar()
        except Exception:
            pass
        """,
    "an inspector": "sa.inspect(op.get_bind()).get_table_names()",
    "a swallowed inspector": """
        try:
            sa.inspect(op.get_bind())
        except Exception:
            pass
        """,
    "a parameter": "op.execute('UPDATE a SET n = :x')",
    "an insert without values": "op.execute(sa.table('a', sa.column('n')).insert())",
    "its own connection": """
        sa.create_engine('postgresql+psycopg://h/d').connect().exec_driver_sql('x')
        """,
    "a session": "sa.orm.Session(op.get_bind()).scalars(sa.text('SELECT 1')).all()",
    "an exit": "raise SystemExit(0)",
    "a mistake": "1 / 0",
    "a mistake of several lines": "raise ValueError('one\\u2028DROP TABLE a;')",
    "a value that has no literal": """
        a = sa.table("a", sa.column("n", sa.ARRAY(sa.LargeBinary)))
        op.execute(a.insert().values(n=object()))
        """,
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
async def test_what_cannot_be_rendered_is_named_and_the_rest_is_rendered(
    project: Path, body: str
) -> None:
    code = "op.execute('CREATE TABLE d (n int)')\n" + textwrap.dedent(body).strip()
    more = "import sqlalchemy.orm"
    write_revision(project, "d4", "c3", code, more=more)
    write_revision(project, "e5", "d4", "op.execute('CREATE TABLE e (n int)')")
    found = await migration_sql(opened(project))
    *before, d4, e5 = found.revisions
    assert [it.problem for it in (*before, e5)] == [None] * 4
    assert d4.problem
    assert d4.sql.startswith("CREATE TABLE d (n int);")
    assert "missing" not in d4.sql
    assert e5.sql == "CREATE TABLE e (n int);"
    line = f"-- dbops: SQL of revision d4 is missing here: {d4.problem}"
    assert line in found.sql.splitlines()
    gap = found.sql.index(line)
    assert found.sql.index("-- Running upgrade c3 -> d4") < gap
    assert gap < found.sql.index("SET version_num='d4'")
    assert found.outcome == "unhealthy"
    assert found.problem is not None
    assert f"d4 ({d4.problem})" in found.problem.message
    assert "--rehearse" in (found.problem.hint or "")


async def test_values_that_are_passed_beside_a_statement_are_rendered(
    project: Path,
) -> None:
    write_revision(
        project,
        "d4",
        "c3",
        """
        a = sa.table("a", sa.column("n", sa.Integer), sa.column("s", sa.String))
        bind = op.get_bind()
        bind.execute(sa.text("UPDATE a SET s = :s WHERE n = :n"), {"n": 1, "s": "o'x"})
        bind.execute(a.insert(), [{"n": 1, "s": "y"}, {"n": 2, "s": None}])
        bind.execute(a.update().where(a.c.n == 7), {"s": "z"})
        bind.execute(a.delete().where(a.c.n == 7))
        bind.exec_driver_sql("SELECT '10:30' LIKE ' :x%'")
        """,
    )
    *_, d4 = await render(opened(project))
    assert d4.problem is None
    assert d4.sql.split(";\n\n") == [
        "UPDATE a SET s = 'o''x' WHERE n = 1",
        "INSERT INTO a (n, s) VALUES (1, 'y')",
        "INSERT INTO a (n, s) VALUES (2, NULL)",
        "UPDATE a SET s='z' WHERE a.n = 7",
        "DELETE FROM a WHERE a.n = 7",
        "SELECT '10:30' LIKE ' :x%';",
    ]


async def test_values_for_columns_without_a_type_are_rendered(project: Path) -> None:
    write_revision(
        project,
        "d4",
        "c3",
        """
        a = sa.table("a", sa.column("n"), sa.column("s"))
        op.execute(a.update().where(a.c.n == 1).values(n=5, s="o'x"))
        op.execute(a.insert().values([{"n": 1, "s": None}, {"n": 2.5, "s": True}]))
        op.bulk_insert(a, [{"n": 1, "s": "y"}])
        """,
    )
    *_, d4 = await render(opened(project))
    assert d4.problem is None
    assert d4.sql.split(";\n\n") == [
        "UPDATE a SET n=5, s='o''x' WHERE a.n = 1",
        "INSERT INTO a (n, s) VALUES (1, NULL), (2.5, true)",
        "INSERT INTO a (n, s) VALUES (1, 'y');",
    ]


def run_online(body: str) -> str:
    """Return an env.py that knows no offline mode."""
    return (
        "import asyncio, os, sqlalchemy as sa\n"
        "from alembic import context\n"
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        "def do(connection):\n"
        "    context.configure(connection=connection)\n"
        "    with context.begin_transaction():\n"
        "        context.run_migrations()\n" + textwrap.dedent(body)
    )


WITHOUT_OFFLINE_MODE = {
    "sync": """
        engine = sa.create_engine("postgresql+psycopg://u:p@127.0.0.1:1/d")
        with engine.connect() as connection:
            do(connection)
        """,
    "sync in a transaction": """
        engine = sa.create_engine("postgresql+psycopg://u:p@127.0.0.1:1/d")
        with engine.begin() as connection:
            do(connection)
        """,
    "async": """
        async def main():
            engine = create_async_engine("postgresql+asyncpg://u:p@127.0.0.1:1/d")
            async with engine.connect() as connection:
                await connection.run_sync(do)
            await engine.dispose()
        asyncio.run(main())
        """,
    "isolation": """
        engine = sa.create_engine("postgresql+asyncpg://u:p@127.0.0.1:1/d")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as it:
            do(it)
        """,
    "from the ini": """
        engine = sa.engine_from_config(context.config.get_section("alembic"))
        with engine.connect() as connection:
            do(connection)
        """,
    "lent": """
        do(context.config.attributes["connection"])
        """,
    "refused": """
        if context.is_offline_mode():
            raise NotImplementedError("no offline mode")
        do(context.config.attributes["connection"])
        """,
    "left": """
        if context.is_offline_mode():
            raise SystemExit("no offline mode")
        do(context.config.attributes["connection"])
        """,
    "silent": """
        if not context.is_offline_mode():
            do(context.config.attributes["connection"])
        """,
    "another database's url": """
        context.configure(url="sqlite:///x.db")
        context.run_migrations()
        """,
    "an old url": """
        context.configure(url="postgres://u:p@127.0.0.1:1/d")
        context.run_migrations()
        """,
}


@pytest.mark.parametrize(
    "body", WITHOUT_OFFLINE_MODE.values(), ids=WITHOUT_OFFLINE_MODE
)
async def test_an_env_py_without_an_offline_mode_renders_without_a_server(
    project: Path, body: str
) -> None:
    wanted = await migration_sql(opened(project))
    (project / "migrations" / "env.py").write_text(run_online(body))
    assert (await migration_sql(opened(project))).sql == wanted.sql
    assert "CREATE TABLE c" in wanted.sql


async def test_env_py_writes_and_prints_beside_the_script(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    wanted = await migration_sql(opened(project))
    (project / "migrations" / "env.py").write_text(
        "from alembic import context\n"
        "print('hello')\n"
        "notes = open('notes.txt', 'a')\n"
        "with open(__file__) as own:\n"
        "    assert own.read()\n"
        "context.configure(dialect_name='postgresql',\n"
        "    output_buffer=open('up.sql', 'wb'), output_encoding='latin-1')\n"
        "context.run_migrations()\n"
    )
    assert (await migration_sql(opened(project))).sql == wanted.sql
    assert not (project / "notes.txt").exists()
    assert not (project / "up.sql").exists()


async def test_what_env_py_executes_itself_is_in_the_script(project: Path) -> None:
    (project / "migrations" / "env.py").write_text(
        "from alembic import context\n"
        "context.configure(dialect_name='postgresql', version_table_schema='app')\n"
        "context.execute('SET search_path = app')\n"
        "context.run_migrations()\n"
    )
    found = await migration_sql(opened(project))
    assert found.sql.startswith("SET search_path = app;\n\nBEGIN;")
    assert "CREATE TABLE app.alembic_version" in found.sql


async def test_an_env_py_that_forgets_literal_values_has_them(project: Path) -> None:
    (project / "migrations" / "env.py").write_text(
        "from alembic import context\n"
        "context.configure(dialect_name='postgresql')\n"
        "context.run_migrations()\n"
    )
    a = "sa.table('a', sa.column('n', sa.Integer))"
    write_revision(project, "d4", "c3", f"op.execute({a}.insert().values(n=1))")
    *_, d4 = await render(opened(project))
    assert d4.sql == "INSERT INTO a (n) VALUES (1);"


@pytest.mark.parametrize("template", ["generic", "pyproject"])
async def test_nothing_of_the_project_or_of_sqlalchemy_is_changed(
    tmp_path: Path, template: str
) -> None:
    connect = Engine.connect
    project = await of_template(tmp_path, template)
    url = project.config.get_main_option("sqlalchemy.url")
    await migration_sql(project)
    assert Engine.connect is connect
    assert project.config.get_main_option("sqlalchemy.url") == url
    assert "connection" not in project.config.attributes


async def test_other_threads_keep_their_connections(project: Path) -> None:
    # What an application does in the meantime.
    (project / "migrations" / "env.py").write_text(
        "import threading, sqlalchemy as sa\n"
        "from alembic import context\n"
        "seen = context.config.attributes['seen']\n"
        "ours = sa.create_engine('sqlite://').connect()\n"
        "def other():\n"
        "    with sa.create_engine('sqlite://').connect() as connection:\n"
        "        seen.append(connection.exec_driver_sql('SELECT 7').scalar())\n"
        "thread = threading.Thread(target=other)\n"
        "thread.start(); thread.join()\n"
        "context.configure(dialect_name='postgresql')\n"
        "context.run_migrations()\n"
    )
    here = opened(project)
    seen: list[int] = []
    here.config.attributes["seen"] = seen
    await migration_sql(here)
    assert seen == [7]


async def test_three_hundred_revisions_take_one_run_of_env_py(project: Path) -> None:
    env = project / "migrations" / "env.py"
    count = "from alembic import context\ncontext.config.attributes['runs'].append(1)\n"
    env.write_text(count + env.read_text())
    down = "c3"
    for number in range(300):
        body = "1 / 0" if number % 3 else "op.execute('SELECT 1')"
        write_revision(project, f"r{number}", down, body)
        down = f"r{number}"
    here = opened(project)
    runs: list[int] = []
    here.config.attributes["runs"] = runs
    found = await render(here)
    assert len(found) == 303
    assert sum(it.problem is not None for it in found) == 200
    assert len(runs) == 1


@pytest.mark.parametrize(
    "given", ["a1:b2:c3", ":head", "base:", ":", "c3:a1", "b2:base"]
)
async def test_a_range_that_makes_no_sense_is_a_usage_error(
    project: Path, given: str
) -> None:
    with pytest.raises(UsageError) as raised:
        await migration_sql(opened(project), given)
    assert raised.value.hint


@pytest.mark.parametrize(
    "given", ["zz:head", "base:zz", "zz", "+9", "base:+9", "c3:+1", ""]
)
async def test_a_revision_that_is_not_there_is_a_usage_error(
    project: Path, given: str
) -> None:
    with pytest.raises(UsageError, match=r"no revision 'zz'|no way to '\+|where to"):
        await migration_sql(opened(project), given)


@pytest.mark.parametrize("given", ["head", "base:head", "head:c3"])
async def test_several_heads_need_a_name(project: Path, given: str) -> None:
    write_revision(project, "x3", "b2")
    with pytest.raises(RefusedError, match="several heads: c3, x3"):
        await migration_sql(opened(project), given)
    assert len((await migration_sql(opened(project), "base:heads")).revisions) == 4


async def test_relative_and_branch_targets_work(project: Path) -> None:
    write_revision(project, "x3", "b2", more="branch_labels = 'side'")

    async def found(given: str) -> list[str]:
        return [it.revision for it in await render(opened(project), given)]

    assert await found("+1") == ["a1"]
    assert await found("a1:+1") == ["b2"]
    assert await found("b2:side@head") == ["x3"]
    assert await found("a1:side@head") == ["b2", "x3"]
    assert await found("c3:c3") == []


async def test_several_at_once_take_turns(project: Path) -> None:
    wanted = await render(opened(project))
    found = await asyncio.gather(*(render(opened(project)) for _ in range(8)))
    assert found == [wanted] * 8


async def test_who_is_cancelled_keeps_the_turn_until_env_py_has_ended(
    project: Path,
) -> None:
    env = project / "migrations" / "env.py"
    before = env.read_text()
    wanted = await render(opened(project))
    slow = opened(project)
    slow.config.attributes["begun"] = begun = threading.Event()
    slow.config.attributes["go_on"] = go_on = threading.Event()
    env.write_text(
        "from alembic import context\n"
        "context.config.attributes['begun'].set()\n"
        "context.config.attributes['go_on'].wait(20)\n" + before
    )
    first = asyncio.ensure_future(render(slow))
    while not begun.is_set():
        await asyncio.sleep(0.01)
    env.write_text(before)
    second = asyncio.ensure_future(render(opened(project)))
    first.cancel()
    await asyncio.sleep(0.1)
    assert not first.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == wanted


@pytest.mark.parametrize("body", ["COMMIT; VACUUM a; BEGIN", "rollback", "END"])
async def test_who_ends_the_transaction_by_hand_is_not_transactional(
    project: Path, body: str
) -> None:
    write_revision(project, "d4", "c3", f"op.execute({body!r})")
    write_revision(project, "e5", "d4", "op.execute('ROLLBACK TO here')")
    *_, d4, e5 = await render(opened(project))
    assert not d4.transactional
    assert e5.transactional


BROKEN_ENV = {
    "import nowhere_to_be_found": ConfigError,
    "raise SystemExit(3)": FailedError,
    "1 / 0": FailedError,
    "import os; os.environ['NO_SUCH_VARIABLE']": FailedError,
    "pass": FailedError,
    "(": FailedError,
}


@pytest.mark.parametrize(("source", "error"), BROKEN_ENV.items())
async def test_an_env_py_that_cannot_run_ends_in_one_sentence(
    project: Path, source: str, error: type[Exception]
) -> None:
    (project / "migrations" / "env.py").write_text(source)
    with pytest.raises(error, match=r"env\.py"):
        await migration_sql(opened(project))


async def test_a_revision_that_cannot_be_loaded_ends_in_one_sentence(
    project: Path,
) -> None:
    write_revision(project, "d4", "c3", more="import nowhere_to_be_found")
    with pytest.raises(ConfigError, match="nowhere_to_be_found"):
        await migration_sql(opened(project), "base:head")


def test_a_whole_script_is_ok_and_its_fields_are_described() -> None:
    assert MigrationSql(revisions=(), sql="").outcome == "ok"
    schema = MigrationSql.model_json_schema()
    revision = schema["$defs"]["RevisionSql"]["properties"]
    assert all("description" in field for field in revision.values())
