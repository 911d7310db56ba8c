"""The journal: kept with the version, seen by nobody else, read as a history."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, create_engine, inspect

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection as DriverConnection
from dbops.engine.connect import Connectors, connect
from dbops.engine.ddl import ddl_connection
from dbops.errors import FailedError, RefusedError
from dbops.operations.init import init
from dbops.operations.migrate.journal.history import HistoryEntry, history, merged
from dbops.operations.migrate.journal.record import Direction, note, prepare
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.upgrade import migrate
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import Served

STEP: dict[str, Any] = {
    "revision": "a1",
    "message": "do a1",
    "direction": "upgrade",
    "before": (),
    "after": ("a1",),
    "started_at": datetime(2026, 5, 17, 12, 30, tzinfo=UTC),
    "duration_ms": 12.5,
    "version_table": "public.alembic_version",
}

# An env.py that keeps the journal by itself, the way dbops does.
ENV_PY = """
from datetime import UTC, datetime
from dbops.integrations.alembic import run_migrations
from dbops.operations.migrate.journal.record import note

def take(ctx, step, heads, run_args):
    note(
        ctx.connection, revision=step.up_revision_id, message=step.up_revision.doc,
        direction="upgrade", before=step.source_revision_ids, after=heads,
        started_at=datetime.now(UTC), duration_ms=1.0,
        version_table=ctx.version_table,
    )

run_migrations(on_version_apply=take)
"""


@asynccontextmanager
async def on(endpoint: Endpoint) -> AsyncGenerator[DriverConnection]:
    connection = await connect(endpoint)
    try:
        yield connection
    finally:
        await connection.close()


async def as_sqlalchemy(
    connectors: Connectors, work: Callable[[Connection], None]
) -> None:
    connector = connectors.connector("writer", is_ddl=True)
    async with ddl_connection(connector) as connection:
        await connection.run_sync(work)


async def prepared(served: Served) -> None:
    await as_sqlalchemy(served.connectors(), prepare)


async def noted(served: Served, **differences: object) -> None:
    def work(connection: Connection) -> None:
        note(connection, **{**STEP, **differences})
        connection.commit()

    await as_sqlalchemy(served.connectors(), work)


def take_step(connection: Connection) -> None:
    note(connection, **STEP)
    connection.commit()


def sync_url(served: Served) -> str:
    return served.environment["DATABASE_URL"].replace("sql:", "sql+psycopg:", 1)


def write_revision(folder: Path, name: str, down: str | None, body: str) -> None:
    (folder / "migrations" / "versions" / f"{name}.py").write_text(
        f'"""do {name}"""\n'
        "from alembic import op\n"
        f"revision, down_revision = {name!r}, {down!r}\n"
        f"def upgrade():\n    {body}\n"
        "def downgrade():\n    pass\n"
    )


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A project of three revisions, the second of which leaves its transaction."""
    await init(tmp_path)
    (tmp_path / "migrations" / "env.py").write_text(ENV_PY)
    write_revision(tmp_path, "a1", None, "op.execute('CREATE TABLE a (n int)')")
    autocommit = (
        "with op.get_context().autocommit_block():"
        " op.execute('CREATE INDEX CONCURRENTLY a_n ON a (n)')"
    )
    write_revision(tmp_path, "b2", "a1", autocommit)
    write_revision(tmp_path, "c3", "b2", "op.execute('CREATE TABLE c (n int)')")
    return tmp_path


def opened(folder: Path) -> Project:
    return Project(str(folder / "alembic.ini"))


async def test_what_is_noted_is_the_history_newest_first(served: Served) -> None:
    await prepared(served)
    await noted(served)
    await noted(served, revision="b2", before=("a1",), after=("b2",), actor="ci job 7")
    found = await history(served.connectors())
    assert (found.status, found.state, found.hint) == (Status.OK, "present", None)
    newest, first = found.entries
    assert (newest.revision, newest.before, newest.after) == ("b2", ("a1",), ("b2",))
    assert newest.actor == "ci job 7"
    assert first.started_at == STEP["started_at"]
    assert first.duration_ms == 12.5
    assert first.actor == served.writer.user
    assert first.application_name is not None
    assert first.application_name.startswith("dbops/")
    assert first.client_host
    assert first.version_table == "public.alembic_version"


async def test_only_the_newest_where_no_more_is_wanted(served: Served) -> None:
    await prepared(served)
    for name in ("a1", "b2", "c3"):
        await noted(served, revision=name)
    found = await history(served.connectors(), limit=2)
    assert [entry.revision for entry in found.entries] == ["c3", "b2"]


async def test_without_a_journal_that_is_what_is_said(served: Served) -> None:
    found = await history(served.connectors())
    assert (found.status, found.state, found.entries) == (Status.WARN, "absent", ())
    assert found.hint is not None
    assert "--journal" in found.hint


async def test_the_journal_is_kept_by_a_synchronous_driver_too(served: Served) -> None:
    def work() -> None:
        engine = create_engine(sync_url(served))
        with engine.connect() as connection:
            prepare(connection)
            assert not connection.in_transaction()
            prepare(connection)
            with connection.begin():
                note(connection, **STEP)
        engine.dispose()

    await asyncio.to_thread(work)
    (entry,) = (await history(served.connectors())).entries
    assert entry.started_at == STEP["started_at"]


async def test_preparing_at_once_makes_one_journal(served: Served) -> None:
    # CREATE … IF NOT EXISTS alone ends in a unique violation for most of them.
    await asyncio.gather(*(prepared(served) for _ in range(12)))
    assert (await history(served.connectors())).state == "present"


async def test_what_is_rolled_back_is_not_in_the_journal(served: Served) -> None:
    await prepared(served)

    def work(connection: Connection) -> None:
        note(connection, **STEP)
        connection.rollback()

    await as_sqlalchemy(served.connectors(), work)
    assert (await history(served.connectors())).entries == ()


async def test_alembic_commits_journal_and_version_together(
    served: Served, folder: Path
) -> None:
    await prepared(served)
    write_revision(folder, "d4", "c3", "op.execute('CREATE TABLE d (n int)'); 1 / 0")
    with pytest.raises(FailedError, match="d4"):
        await migrate(served.connectors(), opened(folder))
    found = await history(served.connectors(), opened(folder))
    assert [entry.revision for entry in found.entries] == ["c3", "b2", "a1"]
    async with on(served.writer) as writer:
        assert await writer.fetchval("SELECT version_num FROM alembic_version") == "c3"
        assert await writer.fetchval("SELECT pg_catalog.to_regclass('d')") is None


async def test_a_journal_that_may_not_be_written_rolls_the_revision_back(
    served: Served, folder: Path
) -> None:
    # Not prepared: the table is missing, and the version must not move without it.
    with pytest.raises(FailedError, match="pgdbops"):
        await migrate(served.connectors(), opened(folder))
    async with on(served.writer) as writer:
        assert await writer.fetchval("SELECT pg_catalog.to_regclass('a')") is None


async def test_neither_autogenerate_nor_reflection_sees_the_journal(
    served: Served,
) -> None:
    await prepared(served)
    await noted(served)
    async with on(served.writer) as writer:
        await writer.execute("CREATE SCHEMA other CREATE TABLE seen (n int)")

    def work() -> list[tuple[object, ...]]:
        engine = create_engine(sync_url(served))
        with engine.connect() as connection:
            inspector = inspect(connection)
            assert inspector.get_table_names("pgdbops") == []
            assert inspector.get_view_names("pgdbops") == []
            assert inspector.get_sequence_names("pgdbops") == []
            everything = MetaData()
            everything.reflect(connection, schema="pgdbops", views=True)
            assert everything.tables == {}
            options = {"include_schemas": True}
            context = MigrationContext.configure(connection, opts=options)
            found = compare_metadata(context, MetaData())
        engine.dispose()
        return [(kind, table.schema, table.name) for kind, table in found]

    # What is compared does see the tables of other schemas.
    assert await asyncio.to_thread(work) == [("remove_table", "other", "seen")]


@asynccontextmanager
async def role(served: Served) -> AsyncGenerator[tuple[str, Connectors]]:
    """A role that may connect and nothing else."""
    name = f"{served.name} o'role"
    quoted = f'"{name}"'
    async with on(served.writer) as admin:
        await admin.execute(f"CREATE ROLE {quoted} LOGIN PASSWORD 'pw'")
        try:
            url = load_settings(
                flags={
                    "db_host": served.writer.addresses[0].host,
                    "db_port": str(served.writer.addresses[0].port),
                    "db_user": name,
                    "db_password": "pw",
                    "db_name": served.name,
                    "db_sslmode": "disable",
                }
            )
            yield quoted, Connectors(url)
        finally:
            await admin.execute(f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")


async def test_a_role_that_may_not_create_it_is_told_what_to_grant(
    served: Served,
) -> None:
    async with role(served) as (_, connectors), on(served.writer) as admin:
        with pytest.raises(RefusedError, match="may not create") as raised:
            await as_sqlalchemy(connectors, prepare)
        assert raised.value.hint is not None
        await admin.execute(raised.value.hint.partition(";")[0])
        await as_sqlalchemy(connectors, prepare)
        await as_sqlalchemy(connectors, take_step)
        assert (await history(connectors)).state == "present"


async def test_a_role_that_may_not_add_to_it_is_told_what_to_grant(
    served: Served,
) -> None:
    await prepared(served)
    async with role(served) as (quoted, connectors), on(served.writer) as admin:
        with pytest.raises(RefusedError, match="may not add to") as raised:
            await as_sqlalchemy(connectors, prepare)
        await admin.execute(f"GRANT USAGE ON SCHEMA pgdbops TO {quoted}")
        with pytest.raises(RefusedError, match="may not add to"):
            await as_sqlalchemy(connectors, take_step)
        # Whoever may connect may read it: it is in the catalog.
        assert (await history(connectors)).entries == ()
        assert raised.value.hint is not None
        await admin.execute(raised.value.hint)
        await as_sqlalchemy(connectors, prepare)
        await as_sqlalchemy(connectors, take_step)
        assert len((await history(connectors)).entries) == 1


async def test_no_text_of_a_revision_leaves_its_quotation(served: Served) -> None:
    await prepared(served)
    hostile = "'; $body$ $json$ %s %(x)s :x ? \\ \x1b[31m é 漢 \u202e \x00 --"
    await noted(served, message=hostile, revision=hostile, actor=hostile)

    def work() -> None:
        engine = create_engine(sync_url(served))
        with engine.begin() as connection:
            note(connection, **{**STEP, "message": hostile})
        engine.dispose()

    await asyncio.to_thread(work)
    second, first = (await history(served.connectors())).entries
    assert (first.message, first.revision, first.actor) == (hostile,) * 3
    assert second.message == hostile


async def test_what_is_no_step_is_left_out(served: Served) -> None:
    await prepared(served)
    await noted(served)
    async with on(served.writer) as writer:
        await writer.execute("SET check_function_bodies = off")
        for name, body in (
            ("step_1", "SELECT $json${}$json$::pg_catalog.json"),
            ("step_2", "SELECT NULL::pg_catalog.json"),
            ("step_3", "SELECT $json$[1]$json$::pg_catalog.json"),
            ("step_4", "SELECT $json$nonsense$json$::pg_catalog.json"),
            ("other", "SELECT NULL::pg_catalog.json"),
        ):
            await writer.execute(
                f"CREATE FUNCTION pgdbops.{name}() RETURNS pg_catalog.json"
                f" LANGUAGE sql AS $body${body}$body$"
            )
    assert len((await history(served.connectors())).entries) == 1


async def test_what_was_applied_without_the_journal_is_told_with_nulls(
    served: Served, folder: Path
) -> None:
    without = ENV_PY.replace("on_version_apply=take", "")
    (folder / "migrations" / "env.py").write_text(without)
    await migrate(served.connectors(), opened(folder), "b2")
    absent = await history(served.connectors(), opened(folder))
    assert (absent.status, absent.state) == (Status.WARN, "absent")
    assert [entry.revision for entry in absent.entries] == ["b2", "a1"]
    (folder / "migrations" / "env.py").write_text(ENV_PY)
    await prepared(served)
    await migrate(served.connectors(), opened(folder))
    found = await history(served.connectors(), opened(folder))
    assert [entry.revision for entry in found.entries] == ["c3", "b2", "a1"]
    assert found.entries[0].before == ("b2",)
    assert found.entries[1] == HistoryEntry(revision="b2", message="do b2")
    last = await history(served.connectors(), opened(folder), limit=1)
    assert last.entries == found.entries[:1]


def kept(revision: str, direction: Direction = "upgrade") -> HistoryEntry:
    after = () if direction == "downgrade" else (revision,)
    return HistoryEntry(revision=revision, message="", direction=direction, after=after)


def applied(*revisions: str) -> list[tuple[str, str]]:
    return [(revision, "") for revision in revisions]


@pytest.mark.parametrize(
    ("entries", "database", "wanted"),
    [
        ([], ("c", "b", "a"), "c? b? a?"),
        ([kept("c")], ("c", "b", "a"), "c b? a?"),
        # Applied by somebody else, after the journal's last step and between two.
        ([kept("b"), kept("a")], ("d", "c", "b", "a"), "d? c? b a"),
        ([kept("d"), kept("a")], ("d", "c", "b", "a"), "d c? b? a"),
        # Went back, and forth again.
        ([kept("b"), kept("b", "downgrade"), kept("b")], ("b", "a"), "b b b a?"),
        ([kept("b", "downgrade"), kept("b")], ("a",), "b b a?"),
        # Known only for having been taken back: somebody else has applied it since.
        ([kept("b", "downgrade")], ("b", "a"), "b b? a?"),
        ([kept("c", "stamp")], ("c", "b"), "c b?"),
    ],
)
def test_unknown_revisions_stand_where_they_belong(
    entries: list[HistoryEntry], database: tuple[str, ...], wanted: str
) -> None:
    found = merged(entries, applied(*database))
    assert (
        " ".join(e.revision + ("?" if e.direction is None else "") for e in found)
        == wanted
    )
