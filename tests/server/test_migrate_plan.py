"""What migrate would do, asked of real databases: nothing is written there."""

import asyncio
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from dbops.engine.connect import connect
from dbops.errors import RefusedError, UnreachableError, UsageError
from dbops.local.account import find_programs
from dbops.operations.init import init
from dbops.operations.migrate.offline.script import migration_sql, render
from dbops.operations.migrate.plan import plan
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.upgrade import migrate
from tests.conftest import Served, clean_environment
from tests.rich_revisions import write_revision

EVERY_OBJECT = """
SELECT count(*), sum(xmin::text::int8)::int8
  FROM (SELECT xmin FROM pg_catalog.pg_class
        UNION ALL SELECT xmin FROM pg_catalog.pg_namespace
        UNION ALL SELECT xmin FROM pg_catalog.pg_type
        UNION ALL SELECT xmin FROM pg_catalog.pg_proc) o
"""


@pytest.fixture
async def project(tmp_path: Path) -> Path:
    """A project as `dbops init` makes it, with branches and a merge."""
    await init(tmp_path)
    write_revision(tmp_path, "a1", None, "op.execute('CREATE TABLE a (n int)')")
    write_revision(
        tmp_path,
        "b2",
        "a1",
        """
        with op.get_context().autocommit_block():
            op.execute('CREATE INDEX CONCURRENTLY a_n ON a (n)')
        """,
    )
    write_revision(tmp_path, "x2", "a1", "op.execute('CREATE TABLE x (n int)')")
    write_revision(tmp_path, "m3", ("b2", "x2"))
    return tmp_path


def opened(folder: Path) -> Project:
    return Project(str(folder / "alembic.ini"))


async def fingerprint(served: Served) -> tuple[int, int]:
    """Return what changes with every object that is made or altered."""
    connection = await connect(served.writer)
    try:
        return tuple(await connection.fetchrow(EVERY_OBJECT))  # type: ignore[arg-type]
    finally:
        await connection.close()


async def test_the_plan_tells_what_each_revision_is(
    served: Served, project: Path
) -> None:
    found = await plan(served.connectors(), opened(project))
    assert found.before == ()
    assert [it.revision for it in found.planned] == ["a1", "x2", "b2", "m3"]
    a1, x2, b2, m3 = found.planned
    assert a1.message == "do a1"
    assert Path(a1.path).name == "a1.py"
    assert [it.transactional for it in (a1, x2, b2, m3)] == [True, True, False, True]
    assert [it.is_branch_point for it in (a1, x2, b2, m3)] == [True] + 3 * [False]
    assert [it.is_merge for it in (a1, x2, b2, m3)] == 3 * [False] + [True]
    assert set(m3.down_revisions) == {"b2", "x2"}
    assert found.outcome == "ok"


@pytest.mark.parametrize("template", ["borrowed", "generic", "async"])
async def test_neither_the_plan_nor_the_sql_writes_anything(
    served: Served, tmp_path: Path, template: str
) -> None:
    if template == "borrowed":
        await init(tmp_path)
    else:
        config = Config(str(tmp_path / "alembic.ini"))
        folder = str(tmp_path / "migrations")
        await asyncio.to_thread(command.init, config, folder, template=template)
    write_revision(tmp_path, "a1", None, "op.execute('CREATE TABLE a (n int)')")
    before = await fingerprint(served)
    planned = await plan(served.connectors(), opened(tmp_path))
    rendered = await render(opened(tmp_path), connectors=served.connectors())
    assert await fingerprint(served) == before
    assert [it.revision for it in planned.planned] == ["a1"]
    assert [it.revision for it in rendered] == ["a1"]
    # And the fingerprint does see it when something is written.
    await migrate(served.connectors(), opened(tmp_path))
    assert await fingerprint(served) != before


async def test_what_is_planned_is_what_is_applied(
    served: Served, project: Path
) -> None:
    connectors = served.connectors()
    for target in ("+1", "a1", "x2", "head", "head"):
        planned = await plan(connectors, opened(project), target)
        rendered = await render(opened(project), target, connectors=connectors)
        applied = await migrate(connectors, opened(project), target)
        names = [it.revision for it in applied.applied]
        assert planned.before == applied.before
        assert [it.revision for it in planned.planned] == names
        assert [it.revision for it in rendered] == names


async def test_several_revisions_at_once_are_a_start_for_the_sql(
    served: Served, project: Path, cache_dir: Path
) -> None:
    await migrate(served.connectors(), opened(project), "x2")
    await migrate(served.connectors(), opened(project), "b2")
    found = await migration_sql(opened(project), connectors=served.connectors())
    assert [it.revision for it in found.revisions] == ["m3"]
    await run_script(served, cache_dir, found.sql)
    assert (await plan(served.connectors(), opened(project))).before == ("m3",)


async def test_several_heads_need_a_target(served: Served, project: Path) -> None:
    write_revision(project, "x9", "a1", more="branch_labels = 'side'")
    for ask in (plan, render_there):
        with pytest.raises(RefusedError, match="several heads: m3, x9") as raised:
            await ask(served.connectors(), opened(project))
        assert "heads" in (raised.value.hint or "")
    found = await plan(served.connectors(), opened(project), "side@head")
    assert [it.revision for it in found.planned] == ["a1", "x9"]
    found = await plan(served.connectors(), opened(project), "heads")
    assert len(found.planned) == 5


async def test_an_unknown_target_is_a_usage_error(
    served: Served, project: Path
) -> None:
    for ask in (plan, render_there):
        with pytest.raises(UsageError, match="no revision 'zz'"):
            await ask(served.connectors(), opened(project), "zz")


async def test_a_database_ahead_of_the_code_is_refused(
    served: Served, project: Path
) -> None:
    await migrate(served.connectors(), opened(project))
    (project / "migrations" / "versions" / "m3.py").unlink()
    for ask in (plan, render_there):
        with pytest.raises(RefusedError, match="ahead of this code"):
            await ask(served.connectors(), opened(project), "heads")


async def test_a_standby_is_refused_and_still_says_what_is_pending(
    served: Served, project: Path
) -> None:
    reader = served.connectors(database_url=served.environment["DATABASE_READER_URL"])
    with pytest.raises(RefusedError, match="takes no changes") as raised:
        await plan(reader, opened(project))
    assert raised.value.sqlstate == "25006"
    assert len(await render(opened(project), connectors=reader)) == 4


async def test_a_silent_server_is_unreachable_and_a_range_does_without(
    served: Served, project: Path
) -> None:
    nobody = served.connectors(database_url="postgresql://u:p@127.0.0.1:1/d")
    with pytest.raises(UnreachableError):
        await plan(nobody, opened(project))
    with pytest.raises(UnreachableError) as raised:
        await migration_sql(opened(project), "head", connectors=nobody)
    assert "base:head" in (raised.value.hint or "")
    found = await migration_sql(opened(project), "base:head", connectors=nobody)
    assert len(found.revisions) == 4


RICH = """
mood = sa.Enum("glad", "sad", name="mood")
t = op.create_table(
    "t",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("mood", mood, nullable=False),
    sa.Column("rate", sa.String, server_default="5%"),
    sa.Column("tags", sa.dialects.postgresql.ARRAY(sa.Text), comment="it's 100%"),
    sa.CheckConstraint("rate LIKE '%%%'", name="in_percent"),
)
op.bulk_insert(t, [{"mood": "glad", "rate": "it's 5%"}, {"mood": "sad", "rate": "%"}])
op.execute("UPDATE t SET rate = '7%' WHERE rate LIKE '%5%'")
op.get_bind().execute(sa.text("UPDATE t SET tags = '{}' WHERE id = :id"), {"id": 1})
op.create_foreign_key("t_t", "t", "t", ["id"], ["id"])
op.execute('''
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  RETURN 10 % 4;
END $$
''')
"""


@pytest.mark.parametrize("template", ["borrowed", "generic", "async"])
async def test_the_script_makes_what_an_online_upgrade_makes(
    served: Served, tmp_path: Path, cache_dir: Path, template: str
) -> None:
    if template == "borrowed":
        await init(tmp_path)
    else:
        config = Config(str(tmp_path / "alembic.ini"))
        folder = str(tmp_path / "migrations")
        await asyncio.to_thread(command.init, config, folder, template=template)
    dialects = "import sqlalchemy.dialects.postgresql"
    write_revision(tmp_path, "a1", None, RICH, more=dialects)
    write_revision(
        tmp_path,
        "b2",
        "a1",
        """
        op.add_column("t", sa.Column("n", sa.Integer))
        with op.get_context().autocommit_block():
            op.create_index("t_n", "t", ["n"], postgresql_concurrently=True)
        """,
    )
    write_revision(tmp_path, "x2", "a1", "op.drop_column('t', 'rate')")
    write_revision(tmp_path, "m3", ("b2", "x2"))
    found = await migration_sql(opened(tmp_path), connectors=served.connectors())
    assert found.problem is None
    emptied = "DROP SCHEMA public CASCADE; CREATE SCHEMA public;"
    await run_script(served, cache_dir, emptied)
    await migrate(served.connectors(), opened(tmp_path))
    online = await dumped(served, cache_dir)
    await run_script(served, cache_dir, emptied)
    await run_script(served, cache_dir, found.sql)
    assert await dumped(served, cache_dir) == online
    assert "CREATE TABLE public.t" in online
    assert "it''s 100%" in online


async def test_a_script_with_a_gap_stops_there(
    served: Served, project: Path, cache_dir: Path
) -> None:
    write_revision(project, "d4", "m3", "op.execute('SELECT :x')")
    found = await migration_sql(opened(project))
    with pytest.raises(AssertionError, match="could not render all of revision d4"):
        await run_script(served, cache_dir, found.sql)
    here = await plan(served.connectors(), opened(project))
    assert here.before == ("m3",)
    assert [it.revision for it in here.planned] == ["d4"]


async def render_there(connectors, project, revision="head") -> object:  # type: ignore[no-untyped-def] # noqa: ANN001 # as plan
    return await render(project, revision, connectors=connectors)


async def run_script(served: Served, cache_dir: Path, script: str) -> None:
    """Run it as its reader would: by psql."""
    await of_postgresql(served, cache_dir, "psql", "-qXv", "ON_ERROR_STOP=1", of=script)


async def dumped(served: Served, cache_dir: Path) -> str:
    """Return the schema and the rows, as pg_dump writes them."""
    options = ("--no-owner", "--restrict-key=x", "--inserts")
    return await of_postgresql(served, cache_dir, "pg_dump", *options)


async def of_postgresql(
    served: Served, cache_dir: Path, program: str, *words: str, of: str = ""
) -> str:
    """Run one of PostgreSQL's own programs on the database; return its stdout."""
    address, password = served.writer.addresses[0], served.writer.password
    process = await asyncio.create_subprocess_exec(
        (await find_programs(cache_dir, None)).path(program),
        *words,
        *("-h", address.host, "-p", str(address.port)),
        *("-U", served.writer.user or "", served.name),
        env={
            **clean_environment(cache_dir),
            "PGPASSWORD": password.get_secret_value() if password else "",
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(of.encode())
    assert process.returncode == 0, err.decode()
    return out.decode()
