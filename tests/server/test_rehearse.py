"""A rehearsal tells what revisions do, and the real server never hears of it."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connectors, connect
from dbops.errors import (
    ConfigError,
    FailedError,
    LockedError,
    Outcome,
    RefusedError,
    UnreachableError,
    UsageError,
)
from dbops.local.binaries import find_binaries
from dbops.local.throwaway import throwaway
from dbops.operations.init import init
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.upgrade import migrate
from dbops.operations.rehearse.rehearse import rehearse
from dbops.operations.rehearse.rehearsed import Rehearsed, RehearsedRevision
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import Served, installed_postgresql, new_name
from tests.revisions import write_revision

TABLE = "op.execute('CREATE TABLE a (id int PRIMARY KEY, n int)')"
CREATOR = """
import psycopg
from alembic import context
from sqlalchemy import create_engine, pool
def creator():
    return psycopg.connect("@URL@")
engine = create_engine(
    "postgresql+psycopg://", creator=creator, poolclass=pool.NullPool
)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
ONE_TRANSACTION = """
from alembic import context
context.configure(
    connection=context.config.attributes["connection"], transaction_per_migration=False
)
with context.begin_transaction():
    context.run_migrations()
"""
OWN_URL = """
from alembic import context
from sqlalchemy import create_engine, pool
with create_engine("@URL@", poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.fixture(scope="module", autouse=True)
def _reachable_cache() -> Generator[None]:
    """Keep the throw-away servers where their account can reach them."""
    memory = Path("/dev/shm")  # noqa: S108 # a private folder in it, for speed
    folder = Path(
        tempfile.mkdtemp(prefix="dbops-test-", dir=memory if memory.is_dir() else None)
    )
    folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBOPS_CACHE_DIR", str(folder))
        yield
    # Nothing is left running or lying about but the template.
    assert [it.name for it in (folder / "throwaway").iterdir()] == []
    shutil.rmtree(folder)


async def project_of(folder: Path, *upgrades: str, env: str | None = None) -> Project:
    """Write a project with revisions r1, r2, … that follow each other."""
    await init(folder)
    for number, upgrade in enumerate(upgrades, start=1):
        down = f"r{number - 1}" if number > 1 else None
        write_revision(folder, f"r{number}", down, upgrade)
    if env is not None:
        (folder / "migrations" / "env.py").write_text(env)
    return Project(str(folder / "alembic.ini"))


def nowhere() -> Connectors:
    """Return settings that name no database."""
    return Connectors(load_settings())


def locks(revision: RehearsedRevision) -> Mapping[str, str]:
    return {lock.table: lock.mode for lock in revision.locks}


async def from_base(folder: Path, *upgrades: str) -> Rehearsed:
    return await rehearse(nowhere(), await project_of(folder, *upgrades))


async def execute(endpoint: Endpoint, *statements: str) -> None:
    connection = await connect(endpoint)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def value(endpoint: Endpoint, question: str) -> object:
    connection = await connect(endpoint)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def dumped(endpoint: Endpoint) -> bytes:
    """Return everything in a database, rows too."""
    binaries = await find_binaries(None)
    process = await asyncio.create_subprocess_exec(
        binaries.bin_dir / "pg_dump",
        "--restrict-key=x",
        env={"PATH": os.defpath, **libpq(endpoint)},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out


def libpq(endpoint: Endpoint) -> dict[str, str]:
    (address,) = endpoint.addresses
    assert endpoint.password is not None
    return {
        "PGHOST": address.host,
        "PGPORT": str(address.port),
        "PGUSER": str(endpoint.user),
        "PGPASSWORD": endpoint.password.get_secret_value(),
        "PGDATABASE": str(endpoint.database),
    }


async def test_without_a_server_it_starts_from_nothing(tmp_path: Path) -> None:
    found = await from_base(
        tmp_path,
        TABLE,
        "op.execute('ALTER TABLE a ALTER COLUMN n TYPE bigint')",
        "op.execute('CREATE INDEX a_n ON a (n)')",
        "op.execute('DROP INDEX a_n')\nop.execute('REINDEX TABLE a')",
        "op.execute('CREATE VIEW v AS SELECT 1 AS one')\nop.execute('DROP TABLE a')",
    )
    first, rewriting, indexing, rebuilding, last = found.revisions
    assert found.status is Status.OK
    assert found.starts_from == "base"
    assert found.server_version is None
    assert found.is_same_major is None
    assert (found.before, found.after) == ((), ("r5",))
    assert first.created == ("public.a",)
    assert first.locks == ()  # whoever made the table keeps nobody out of it
    assert locks(rewriting) == {"public.a": "ACCESS EXCLUSIVE"}
    assert rewriting.rewritten == ("public.a",)
    assert rewriting.rebuilt == ()
    assert locks(indexing) == {"public.a": "SHARE"}
    assert indexing.created == ("public.a_n",)
    assert indexing.rewritten == ()
    assert rebuilding.dropped == ("public.a_n",)
    assert rebuilding.rebuilt == ("public.a_pkey",)
    assert last.created == ("public.v",)
    assert last.dropped == ("public.a",)
    assert all(it.transactional and it.duration_ms for it in found.revisions)


@pytest.mark.parametrize(
    ("statement", "mode"),
    [
        ("CREATE INDEX CONCURRENTLY a_n ON a (n)", "SHARE UPDATE EXCLUSIVE"),
        ("DROP INDEX CONCURRENTLY a_old", "SHARE UPDATE EXCLUSIVE"),
        ("REINDEX TABLE CONCURRENTLY a", "SHARE UPDATE EXCLUSIVE"),
        ("CREATE INDEX a_n ON a (n)", "SHARE"),
        ("ALTER TABLE a ADD COLUMN m int", "ACCESS EXCLUSIVE"),
    ],
)
async def test_a_statement_outside_of_a_transaction_is_seen_too(
    tmp_path: Path, statement: str, mode: str
) -> None:
    found = await from_base(
        tmp_path,
        f"{TABLE}\nop.execute('CREATE INDEX a_old ON a (n)')",
        "op.execute('ALTER TABLE a ALTER n SET DEFAULT 1')\n"
        "with op.get_context().autocommit_block():\n"
        f"    op.execute('{statement}')",
        "op.execute('CREATE TABLE b (n int)')",
    )
    _, outside, after = found.revisions
    # What was before the block belongs to it as well.
    assert locks(outside) == {"public.a": "ACCESS EXCLUSIVE"}
    assert outside.transactional is False
    assert after.transactional is True
    assert locks(after) == {}
    alone = await from_base(
        tmp_path / "alone",
        f"{TABLE}\nop.execute('CREATE INDEX a_old ON a (n)')",
        f"with op.get_context().autocommit_block():\n    op.execute('{statement}')",
    )
    assert locks(alone.revisions[-1]) == {"public.a": mode}


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
async def test_a_synchronous_driver_is_watched_as_well(
    served: Served, tmp_path: Path, driver: str
) -> None:
    url = served.writer.url(show_password=True)
    url = url.replace("postgresql://", f"postgresql+{driver}://")
    project = await project_of(
        tmp_path,
        TABLE,
        "with op.get_context().autocommit_block():\n"
        "    op.execute('CREATE INDEX CONCURRENTLY a_n ON a (n)')",
        env=OWN_URL.replace("@URL@", url),
    )
    found = await rehearse(nowhere(), project)
    assert locks(found.revisions[1]) == {"public.a": "SHARE UPDATE EXCLUSIVE"}


async def test_a_table_that_env_py_itself_has_locked_does_not_stop_the_rehearsal(
    served: Served, tmp_path: Path
) -> None:
    url = served.writer.url(show_password=True)
    project = await project_of(
        tmp_path,
        "op.execute('CREATE TABLE b (n int)')\n" + TABLE,
        "with op.get_context().autocommit_block(), "
        "op.get_bind().engine.connect() as other:\n"
        "    other.exec_driver_sql('LOCK TABLE b')\n"
        "    op.execute('CREATE INDEX CONCURRENTLY a_n ON a (n)')",
        env=OWN_URL.replace("@URL@", url.replace("postgresql", "postgresql+psycopg")),
    )
    found = await rehearse(nowhere(), project)
    assert found.status is Status.OK
    assert found.revisions[1].created == ("public.a_n",)


async def test_one_transaction_does_not_blame_the_next_revision(
    served: Served, tmp_path: Path
) -> None:
    project = await project_of(
        tmp_path,
        TABLE + "\nop.execute('CREATE TABLE b (n int)')",
        "op.execute('ALTER TABLE a ADD COLUMN m int')",
        "op.execute('ALTER TABLE b ADD COLUMN m int')",
        env=ONE_TRANSACTION,
    )
    await migrate(served.connectors(), project, "r1")
    found = await rehearse(served.connectors(), project)
    assert [set(locks(it)) for it in found.revisions] == [{"public.a"}, {"public.b"}]
    assert all(it.transactional for it in found.revisions)


async def test_a_copy_starts_where_the_server_stands(
    served: Served, tmp_path: Path
) -> None:
    project = await project_of(
        tmp_path,
        TABLE,
        "op.execute('ALTER TABLE a ADD COLUMN u float DEFAULT random()')",
    )
    await migrate(served.connectors(), project, "r1")
    await execute(
        served.writer,
        "INSERT INTO a SELECT n, n FROM generate_series(1, 5000) AS n",
        "ANALYZE a",
    )
    before = await dumped(served.writer)
    found = await rehearse(served.connectors(), project)
    (revision,) = found.revisions
    assert found.starts_from == "schema"
    assert found.is_same_major
    assert (found.before, found.after) == (("r1",), ("r2",))
    assert revision.rewritten == ("public.a",)
    (lock,) = revision.locks
    assert (lock.table, lock.mode, lock.rows) == ("public.a", "ACCESS EXCLUSIVE", 5000)
    assert lock.size_bytes is not None
    assert lock.size_bytes > 5000 * 8
    assert await dumped(served.writer) == before


async def test_a_standby_is_enough_for_nothing_is_written(
    served: Served, tmp_path: Path
) -> None:
    project = await project_of(tmp_path, TABLE, "op.execute('DROP TABLE a')")
    await migrate(served.connectors(), project, "r1")
    async with asyncio.timeout(30):
        while await value(served.reader, "SELECT to_regclass('a')::text") is None:
            await asyncio.sleep(0.02)
    flags = {"database_url": served.environment["DATABASE_READER_URL"]}
    found = await rehearse(Connectors(load_settings(flags=flags)), project)
    (revision,) = found.revisions
    assert revision.dropped == ("public.a",)
    assert await value(served.writer, "SELECT to_regclass('a')::text") == "a"


async def test_a_table_that_is_being_changed_is_not_waited_for_for_long(
    served: Served, tmp_path: Path
) -> None:
    project = await project_of(tmp_path, TABLE, "op.execute('DROP TABLE a')")
    await migrate(served.connectors(), project, "r1")
    busy = await connect(served.writer)
    try:
        await busy.execute("BEGIN")
        await busy.execute("LOCK TABLE a IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(LockedError, match="pg_dump"):
            await rehearse(served.connectors(ddl_lock_timeout="200ms"), project)
    finally:
        await busy.close()


async def test_a_tenants_schema_is_rehearsed_by_itself(
    served: Served, tmp_path: Path
) -> None:
    await execute(served.writer, "CREATE SCHEMA red", "CREATE SCHEMA blue")
    project = await project_of(tmp_path, TABLE, "op.execute('ALTER TABLE a ADD m int')")
    red = Connectors(served.settings().for_tenant(schema="red"))
    await migrate(red, project, "r1")
    blue = Connectors(served.settings().for_tenant(schema="blue"))
    in_red, in_blue = await rehearse(red, project), await rehearse(blue, project)
    assert [locks(it) for it in in_red.revisions] == [{"red.a": "ACCESS EXCLUSIVE"}]
    assert in_blue.before == ()
    assert in_blue.revisions[0].created == ("blue.a",)


async def test_an_env_py_that_connects_past_us_is_refused(
    served: Served, tmp_path: Path
) -> None:
    url = served.writer.url(show_password=True)
    project = await project_of(tmp_path, TABLE, env=CREATOR.replace("@URL@", url))
    with pytest.raises(RefusedError, match="server of its own") as raised:
        await rehearse(served.connectors(), project)
    assert raised.value.hint is not None
    connection = await connect(served.writer)
    tables = await connection.fetchval(
        "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = 'public'"
    )
    await connection.close()
    assert tables == 0


async def test_an_env_py_that_goes_elsewhere_to_change_things_is_refused_too(
    served: Served, tmp_path: Path
) -> None:
    url = served.writer.url(show_password=True)
    env = (
        "from alembic import context\n"
        "if context._proxy.context_opts['dont_mutate']:\n"
        f"{indented(ONE_TRANSACTION)}else:\n"
        f"{indented(CREATOR.replace('@URL@', url))}"
    )
    project = await project_of(tmp_path, TABLE, env=env)
    with pytest.raises(RefusedError, match="server of its own"):
        await rehearse(served.connectors(), project)
    assert await value(served.writer, "SELECT to_regclass('a')") is None


async def test_an_env_py_that_cannot_decide_is_refused(
    served: Served, tmp_path: Path
) -> None:
    here = served.writer.url(show_password=True)
    env = (
        f"from pathlib import Path\nasked = Path({str(tmp_path / 'asked')!r})\n"
        f"host = '127.0.0.1' if asked.exists() else 'localhost'\nasked.touch()\n"
        + OWN_URL.replace('"@URL@"', f"'{here}'.replace('127.0.0.1', host)")
    ).replace("postgresql://", "postgresql+psycopg://")
    project = await project_of(tmp_path / "p", TABLE, env=env)
    with pytest.raises(RefusedError, match="another database each time"):
        await rehearse(nowhere(), project)


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.strip().splitlines())


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
async def test_the_database_that_env_py_names_is_the_one_that_is_copied(
    served: Served, tmp_path: Path, driver: str
) -> None:
    url = served.writer.url(show_password=True)
    url = url.replace("postgresql://", f"postgresql+{driver}://")
    project = await project_of(
        tmp_path,
        TABLE,
        "op.execute('ALTER TABLE a ADD m int')",
        env=OWN_URL.replace("@URL@", url),
    )
    elsewhere = Connectors(load_settings(flags={"database_url": "postgresql://x@y/z"}))
    await migrate(served.connectors(), project, "r1")
    found = await rehearse(elsewhere, project)
    assert found.before == ("r1",)
    assert [locks(it) for it in found.revisions] == [{"public.a": "ACCESS EXCLUSIVE"}]


async def test_a_failing_revision_is_told_with_what_came_before(
    served: Served, tmp_path: Path
) -> None:
    project = await project_of(
        tmp_path,
        TABLE,
        "op.execute('ALTER TABLE a ADD m int')",
        "op.execute('CREATE TABLE c (n int)')\nop.execute('ALTER TABLE nix ADD m int')",
        "op.execute('CREATE TABLE d (n int)')",
    )
    await migrate(served.connectors(), project, "r1")
    found = await rehearse(served.connectors(), project)
    assert found.status is Status.FAIL
    assert found.outcome is Outcome.UNHEALTHY
    assert [it.revision for it in found.revisions] == ["r2", "r3"]
    assert locks(found.revisions[0]) == {"public.a": "ACCESS EXCLUSIVE"}
    error = found.revisions[-1].error
    assert error is not None
    assert found.problem == error
    assert "revision r3 failed" in error.message
    assert "nix" in error.message
    assert error.sqlstate == "42P01"
    assert found.after is None


async def test_a_revision_can_be_named_and_must_exist(tmp_path: Path) -> None:
    project = await project_of(tmp_path, TABLE, "op.execute('DROP TABLE a')")
    found = await rehearse(nowhere(), project, "r1")
    assert [it.revision for it in found.revisions] == ["r1"]
    with pytest.raises(UsageError):
        await rehearse(nowhere(), project, "nix")


async def test_nothing_pending_is_fine(served: Served, tmp_path: Path) -> None:
    project = await project_of(tmp_path, TABLE)
    await migrate(served.connectors(), project)
    found = await rehearse(served.connectors(), project)
    assert found.status is Status.OK
    assert found.revisions == ()
    assert found.after == ("r1",)


async def test_a_silent_server_is_not_replaced_by_nothing(tmp_path: Path) -> None:
    project = await project_of(tmp_path, TABLE)
    flags = {"database_url": "postgresql://u:p@127.0.0.1:1/x"}
    with pytest.raises(UnreachableError):
        await rehearse(Connectors(load_settings(flags=flags)), project)


async def test_an_env_py_that_needs_its_role_finds_it_on_the_copy(
    served: Served, tmp_path: Path
) -> None:
    role = new_name("role")
    await execute(served.writer, f"CREATE ROLE {role} SUPERUSER")
    env = OWN_URL.replace("@URL@", served.writer.url(show_password=True)).replace(
        "    context.configure",
        f"    connection.exec_driver_sql('SET ROLE {role}')\n"
        "    connection.commit()\n    context.configure",
    )
    env = env.replace("postgresql://", "postgresql+psycopg://")
    project = await project_of(tmp_path, TABLE, env=env)
    try:
        found = await rehearse(nowhere(), project)
    finally:
        await execute(served.writer, f"DROP ROLE {role}")
    assert found.starts_from == "schema"
    assert found.after == ("r1",)


async def test_roles_paths_and_foreign_servers_are_like_the_real_ones(
    served: Served, tmp_path: Path
) -> None:
    role = new_name("role")
    await execute(
        served.writer,
        f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'not:a\\secret'",
        f"CREATE SCHEMA {role}",
        "CREATE EXTENSION postgres_fdw",
        "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw",
        "CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (password 'x')",
        f"CREATE FOREIGN TABLE {role}.remote (n int) SERVER far",
        f'ALTER DATABASE "{served.name}" SET search_path = "$user", public',
    )
    try:
        project = await project_of(
            tmp_path,
            f"{TABLE}\nop.execute('GRANT ALL ON a TO {role}')",
            f"op.execute('COMMENT ON DATABASE {served.name} IS NULL')",
            "op.execute('SELECT * FROM remote')",
        )
        endpoint = replace(
            served.writer, user=role, password=SecretStr("not:a\\secret")
        )
        flags = {"database_url": endpoint.url(show_password=True)}
        found = await rehearse(Connectors(load_settings(flags=flags)), project)
    finally:
        await execute(served.writer, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
    assert found.revisions[0].created == (f"{role}.a",)
    assert found.revisions[1].error is None
    error = found.revisions[2].error
    assert error is not None
    assert "user mapping" in error.message


async def test_a_table_that_may_not_be_read_is_refused(
    served: Served, tmp_path: Path
) -> None:
    role = new_name("role")
    await execute(
        served.writer,
        f"CREATE ROLE {role} LOGIN PASSWORD 's3cr3t'",
        "CREATE TABLE closed (n int)",
    )
    endpoint = replace(served.writer, user=role, password=SecretStr("s3cr3t"))
    flags = {"database_url": endpoint.url(show_password=True)}
    project = await project_of(tmp_path, TABLE)
    try:
        with pytest.raises(RefusedError, match="permission denied for table closed"):
            await rehearse(Connectors(load_settings(flags=flags)), project)
    finally:
        await execute(served.writer, f"DROP ROLE {role}")


async def test_an_older_server_here_is_not_enough(
    served: Served, tmp_path: Path
) -> None:
    project = await project_of(tmp_path, TABLE)
    connectors = served.connectors(pg_bin=str(installed_postgresql()))
    with pytest.raises(ConfigError, match="older than the server's"):
        await rehearse(connectors, project)


async def test_another_version_is_said_and_a_missing_extension_named(
    tmp_path: Path,
) -> None:
    project = await project_of(tmp_path, TABLE)
    async with throwaway(pg_bin=installed_postgresql(), standby=False) as pair:
        flags = {"database_url": pair.writer.url(show_password=True)}
        connectors = Connectors(load_settings(flags=flags))
        found = await rehearse(connectors, project)
        await execute(pair.writer, "CREATE EXTENSION pgcrypto")
        with pytest.raises(ConfigError, match=r"lacks extensions.*: pgcrypto"):
            await rehearse(connectors, project)
    assert found.is_same_major is False
    assert found.server_version == pair.server_version
    assert found.copy_version != pair.server_version


async def test_a_schema_that_cannot_be_copied_is_an_error(
    served: Served, tmp_path: Path
) -> None:
    await execute(
        served.writer,
        "SET check_function_bodies = off",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    )
    connection = await connect(served.writer)
    await connection.execute(
        "UPDATE pg_catalog.pg_proc SET prolang = (SELECT oid FROM pg_language "
        "WHERE lanname = 'c'), probin = '/nowhere/lib', prosrc = 'f' "
        "WHERE proname = 'f'"
    )
    await connection.close()
    project = await project_of(tmp_path, TABLE)
    with pytest.raises(FailedError, match="cannot be copied"):
        await rehearse(served.connectors(), project)


async def test_several_databases_are_refused(tmp_path: Path) -> None:
    twice = ONE_TRANSACTION + ONE_TRANSACTION
    project = await project_of(tmp_path, TABLE, env=twice)
    with pytest.raises(RefusedError, match="2 databases"):
        await rehearse(nowhere(), project)
