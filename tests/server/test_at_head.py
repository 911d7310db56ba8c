"""The short way of `dbops migrate`: right, and only where it is certain."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from alembic import command
from alembic.config import Config
from typing_extensions import override

from dbops.credentials import Credentials
from dbops.engine.connect import Connection, Connector, Connectors, connect
from dbops.errors import ConfigError, CredentialsError, RefusedError, UnreachableError
from dbops.operations.init import init
from dbops.operations.migrate.at_head import (
    at_head,
    connector_to,
    heads_of,
    is_at_head,
)
from dbops.operations.migrate.at_head.answer import QUESTION
from dbops.operations.migrate.migrated import Migrated
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.upgrade import migrate
from dbops.settings import load_settings
from tests.conftest import RunDbops, Served, clean_environment

TEMPLATES = ["ours", "generic", "async", "pyproject", "pyproject_async"]


def write_revision(project: Path, name: str, down: str | None, extra: str = "") -> None:
    (project / "migrations" / "versions" / f"{name}.py").write_text(
        f'"""do {name}"""\nfrom alembic import op\nrevision = {name!r}\n'
        f"down_revision = {down!r}\n{extra}\n"
        f"def upgrade():\n    op.execute('CREATE TABLE {name} (n int)')\n"
    )


def replace(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


async def made(folder: Path, template: str = "ours") -> str:
    """Make a project of three revisions, and return its configuration."""
    ini = folder / "alembic.ini"
    if template == "ours":
        await init(folder)
    else:
        config = Config(str(ini), toml_file=str(folder / "pyproject.toml"))
        where = str(folder / "migrations")
        await asyncio.to_thread(command.init, config, where, template=template)
    write_revision(folder, "a1", None)
    write_revision(folder, "b2", "a1")
    write_revision(folder, "c3", "b2")
    return str(ini)


def without_lock(found: Migrated) -> Migrated:
    """Alembic takes the lock before it looks; the short way needs none."""
    return found.model_copy(update={"lock_wait_ms": 0.0})


async def execute(served: Served, *statements: str) -> None:
    connection = await connect(served.writer)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def ini(tmp_path: Path) -> str:
    return await made(tmp_path)


@pytest.fixture
async def done(served: Served, ini: str) -> str:
    """A project whose revisions the database has."""
    await migrate(served.connectors(), Project(ini))
    assert await at_head(served.connectors(), ini) is not None
    return ini


@pytest.mark.parametrize("template", TEMPLATES)
async def test_only_a_database_at_head_is_called_so(
    served: Served, tmp_path: Path, template: str
) -> None:
    ini = await made(tmp_path, template)
    connectors = served.connectors()
    assert await at_head(connectors, ini) is None
    await migrate(connectors, Project(ini), "b2")
    assert await at_head(connectors, ini) is None
    await migrate(connectors, Project(ini))
    expected = await migrate(connectors, Project(ini))
    assert await at_head(connectors, ini) == without_lock(expected)
    write_revision(tmp_path, "d4", "c3")
    assert await at_head(connectors, ini) is None


@pytest.mark.parametrize("template", ["generic", "async"])
async def test_a_project_with_a_url_of_its_own_is_asked_there(
    served: Served, tmp_path: Path, template: str
) -> None:
    ini = await made(tmp_path, template)
    driver = "psycopg" if template == "generic" else "asyncpg"
    url = served.writer.url(show_password=True)
    # What libpq calls sslmode, asyncpg calls ssl.
    url = url.replace("sslmode", "sslmode" if template == "generic" else "ssl")
    own = url.replace("postgresql://", f"postgresql+{driver}://").replace("%", "%%")
    placeholder = "driver://user:pass@localhost/dbname"
    replace(Path(ini), placeholder, own)
    connectors = Connectors(load_settings())
    assert await at_head(connectors, ini) is None
    await migrate(connectors, Project(ini))
    assert await at_head(connectors, ini) is not None


async def test_several_heads_are_meant_by_heads_alone(
    served: Served, tmp_path: Path, ini: str
) -> None:
    write_revision(tmp_path, "x1", "a1")
    connectors = served.connectors()
    await migrate(connectors, Project(ini), "c3")
    assert await at_head(connectors, ini, revision="heads") is None
    await migrate(connectors, Project(ini), "heads")
    found = await at_head(connectors, ini, revision="heads")
    assert found == without_lock(await migrate(connectors, Project(ini), "heads"))
    assert found is not None
    assert found.after == ("c3", "x1")
    for revision in ("head", "c3", "+1"):
        assert await at_head(connectors, ini, revision=revision) is None


async def test_what_a_branch_depends_on_is_no_row_of_its_own(
    served: Served, tmp_path: Path, ini: str
) -> None:
    write_revision(tmp_path, "x1", None, "depends_on = 'c3'")
    connectors = served.connectors()
    await migrate(connectors, Project(ini), "heads")
    found = await at_head(connectors, ini, revision="heads")
    assert found is not None
    assert found.after == ("x1",)
    assert (await migrate(connectors, Project(ini), "heads")).applied == ()


ODD = {
    "a row too many": "INSERT INTO alembic_version VALUES ('b2')",
    "a revision that nobody knows": "UPDATE alembic_version SET version_num = 'zz'",
    "an older revision": "UPDATE alembic_version SET version_num = 'b2'",
    "no row": "DELETE FROM alembic_version",
    "another column": "ALTER TABLE alembic_version RENAME version_num TO n",
    "an empty version": "ALTER TABLE alembic_version DROP CONSTRAINT "
    "alembic_version_pkc, ALTER version_num DROP NOT NULL; "
    "INSERT INTO alembic_version VALUES (NULL)",
    "the same row twice": "ALTER TABLE alembic_version DROP CONSTRAINT "
    "alembic_version_pkc; INSERT INTO alembic_version VALUES ('c3')",
    "an invalid index": "CREATE INDEX i ON a1 (n); "
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass",
    "an index that partitions lack": "CREATE TABLE p (n int) PARTITION BY LIST (n); "
    "CREATE TABLE q PARTITION OF p DEFAULT; CREATE INDEX ON ONLY p (n)",
    "a constraint that is not valid": "ALTER TABLE a1 ADD CHECK (n > 0) NOT VALID",
    "a table before it in the search_path": "CREATE SCHEMA s; CREATE TABLE "
    "s.alembic_version (version_num text); "
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = s, public', "
    "current_database()); END $$",
    "no table in the search_path": "CREATE SCHEMA s; "
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = s', "
    "current_database()); END $$",
}


@pytest.mark.parametrize("statement", ODD.values(), ids=ODD)
async def test_a_database_that_is_odd_is_looked_at_closely(
    served: Served, done: str, statement: str
) -> None:
    await execute(served, statement)
    assert await at_head(served.connectors(), done) is None


async def test_a_table_further_on_in_the_search_path_is_found(
    served: Served, done: str
) -> None:
    name = f'"{served.name}"'
    statement = f"ALTER DATABASE {name} SET search_path = s, public"
    await execute(served, "CREATE SCHEMA s", statement)
    assert await at_head(served.connectors(), done) is not None
    assert (await migrate(served.connectors(), Project(done))).applied == ()


async def test_a_constraint_that_is_never_enforced_waits_for_nothing(
    served: Served, done: str
) -> None:
    await execute(served, "ALTER TABLE a1 ADD CHECK (n > 0) NOT ENFORCED")
    assert await at_head(served.connectors(), done) is not None


async def test_a_standby_is_left_to_be_refused(served: Served, done: str) -> None:
    connectors = served.connectors(
        database_url=served.environment["DATABASE_READER_URL"]
    )
    heads = heads_of(done)
    assert heads is not None
    reader = connector_to(heads, connectors)
    assert reader is not None
    async with asyncio.timeout(30):
        while not await has_version(reader):
            await asyncio.sleep(0.02)
    assert not await is_at_head(reader, heads)
    assert await at_head(connectors, done) is None


async def has_version(connector: Connector) -> bool:
    async with connector.session() as connection:
        table = "SELECT pg_catalog.to_regclass('alembic_version') IS NOT NULL"
        return bool(await connection.fetchval(table))


async def test_a_schema_of_a_tenant_has_a_version_of_its_own(
    served: Served, done: str
) -> None:
    await execute(served, "CREATE SCHEMA tenant")
    heads = heads_of(done)
    assert heads is not None
    connectors = served.connectors(tenant_schema="tenant")
    connector = connector_to(heads, connectors)
    assert connector is not None
    assert not await is_at_head(connector, heads)
    await execute(
        served,
        "CREATE TABLE tenant.alembic_version AS TABLE alembic_version",
        "DELETE FROM alembic_version",
    )
    assert await is_at_head(connector, heads)


async def test_a_table_that_may_not_be_read_is_looked_at_closely(
    served: Served, done: str
) -> None:
    await execute(
        served,
        "DROP ROLE IF EXISTS nobody_reads",
        "CREATE ROLE nobody_reads LOGIN PASSWORD 'secret'",
    )
    url = served.environment["DATABASE_URL"]
    user = served.writer.user or ""
    password = served.writer.password
    assert password is not None
    login = f"{user}:{password.get_secret_value()}@"
    assert login in url
    url = url.replace(login, "nobody_reads:secret@")
    assert await at_head(served.connectors(database_url=url), done) is None


class Listening(Connector):
    """Notes every statement that is sent over its sessions."""

    statements: ClassVar[list[str]] = []

    @override
    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Connection]:
        async with super().session() as connection:
            connection.add_query_logger(lambda it: self.statements.append(it.query))
            yield connection


async def test_the_server_is_asked_one_question(served: Served, done: str) -> None:
    heads = heads_of(done)
    assert heads is not None
    assert await is_at_head(Listening(Credentials.known(served.writer)), heads)
    assert Listening.statements == [QUESTION]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"database_url": "postgresql://u:p@127.0.0.1:1/d"}, UnreachableError),
        ({"db_password": "wrong"}, CredentialsError),
        ({"db_name": "nowhere"}, RefusedError),
    ],
)
async def test_a_server_that_does_not_let_us_in_is_told_as_ever(
    served: Served, ini: str, change: Mapping[str, str], error: type[Exception]
) -> None:
    writer = served.writer
    assert writer.password is not None
    parts = {
        "db_host": writer.addresses[0].host,
        "db_port": writer.addresses[0].port,
        "db_name": served.name,
        "db_user": writer.user,
        "db_password": writer.password.get_secret_value(),
        "db_sslmode": writer.sslmode,
    }
    flags = change if "database_url" in change else {**parts, **change}
    connectors = Connectors(load_settings(flags=flags))
    with pytest.raises(error) as short:
        await at_head(connectors, ini)
    with pytest.raises(error) as long:
        await migrate(connectors, Project(ini))
    assert type(short.value) is type(long.value)


async def test_without_settings_the_hint_is_the_usual_one(ini: str) -> None:
    with pytest.raises(ConfigError, match="no database is configured"):
        await at_head(Connectors(load_settings()), ini)


SLOW = {"sqlalchemy", "alembic", "boto3", "botocore"}


@pytest.mark.parametrize("template", ["ours", "async"])
@pytest.mark.parametrize("form", ["json", "human"])
async def test_the_command_imports_no_slow_package(
    served: Served, tmp_path: Path, cache_dir: Path, template: str, form: str
) -> None:
    ini = await made(tmp_path, template)
    await migrate(served.connectors(), Project(ini))
    words = ("-X", "importtime", "-m", "dbops", "migrate", "--format", form)
    traced = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, *words],
        env={**clean_environment(cache_dir), **served.environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {line.rpartition("|")[2].strip() for line in traced.stderr.splitlines()}
    assert "asyncpg" in found
    assert found.isdisjoint(SLOW)


async def test_the_command_says_the_same_on_both_ways(
    served: Served, tmp_path: Path, ini: str, dbops: RunDbops
) -> None:
    words = ("migrate", "--format", "json")
    first = await asyncio.to_thread(dbops, *words, env=served.environment)
    short = await asyncio.to_thread(dbops, *words, env=served.environment)
    # With an argument for env.py, Alembic is asked.
    long = await asyncio.to_thread(dbops, *words, "-x", "a=b", env=served.environment)
    assert [ran.code for ran in (first, short, long)] == [0, 0, 0]
    assert first.json["result"]["after"] == ["c3"]
    answer, expected = short.json, long.json
    assert answer["result"].pop("lock_wait_ms") == 0
    assert expected["result"].pop("lock_wait_ms") >= 0
    assert answer == expected
    assert answer["result"]["applied"] == []
