"""Waiting for a server, a database, a primary, a schema and a reader."""

import asyncio
import textwrap
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, Connectors, connect
from dbops.errors import (
    ConfigError,
    DbopsError,
    PendingError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from dbops.local.throwaway import throwaway
from dbops.operations.init import init
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.upgrade import migrate
from dbops.operations.migrate.version import read_version
from dbops.operations.replica import Version
from dbops.operations.wait import Waited, wait
from dbops.operations.wait.migrations import wait_for_migrations
from dbops.operations.wait.replica import wait_for_replica
from dbops.settings import load_settings
from tests.conftest import Served, new_name


@asynccontextmanager
async def on(endpoint: Endpoint) -> AsyncGenerator[Connection]:
    connection = await connect(endpoint)
    try:
        yield connection
    finally:
        await connection.close()


def connectors_to(endpoint: Endpoint) -> Connectors:
    url = endpoint.url(show_password=True)
    return Connectors(load_settings(flags={"database_url": url}))


class Failures(list[DbopsError]):
    """What was said on the way; `first` is set with the first of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = asyncio.Event()

    def take(self, failure: DbopsError) -> None:
        """Note a failure."""
        self.append(failure)
        self.first.set()

    async def arrived(self) -> None:
        """Wait for the first one."""
        async with asyncio.timeout(20):
            await self.first.wait()


async def test_what_is_there_needs_no_waiting(served: Served) -> None:
    connector = served.connectors().connector("writer")
    for what in ("server", "database", "writable"):
        found = await wait(connector, what, limit_s=5)
        assert (found.waited_for, found.attempts) == (what, 1)


async def test_a_database_that_is_made_meanwhile_is_waited_for(served: Served) -> None:
    name, failures = new_name(), Failures()
    endpoint = served.writer.with_database(name)
    connector = connectors_to(endpoint).connector("writer")
    waiting = asyncio.create_task(
        wait(connector, "writable", limit_s=30, on_failure=failures.take)
    )
    await failures.arrived()
    async with on(served.writer) as admin:
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        assert (await waiting).attempts > 1
        await admin.execute(f'DROP DATABASE "{name}"')
    assert failures[0].sqlstate == "3D000"


async def test_a_standby_is_writable_once_it_was_promoted() -> None:
    async with throwaway() as pair:
        failures = Failures()
        connector = connectors_to(pair.reader).connector("writer")
        waiting = asyncio.create_task(
            wait(connector, "writable", limit_s=30, on_failure=failures.take)
        )
        await failures.arrived()
        assert "is a standby" in failures[0].message
        async with on(pair.reader) as standby:
            await standby.execute("SELECT pg_catalog.pg_promote(false)")
        found = await waiting
        assert found.attempts > 1
        async with on(pair.reader) as promoted:
            await promoted.execute("CREATE TABLE written (n int)")


async def test_a_standby_that_stays_one_is_refused_in_the_end(served: Served) -> None:
    connector = connectors_to(served.reader).connector("writer")
    await wait(connector, "database", limit_s=5)
    with pytest.raises(RefusedError, match=r"0.5 s in vain: .* is a standby") as raised:
        await wait(connector, "writable", limit_s=0.5)
    assert raised.value.retryable


async def test_no_host_with_the_role_of_the_url_may_still_get_one(
    served: Served,
) -> None:
    url = served.reader.url(show_password=True) + "&target_session_attrs=read-write"
    connector = Connectors(load_settings(flags={"database_url": url}))
    failures = Failures()
    with pytest.raises(RefusedError, match="in vain: no host of the writer"):
        await wait(
            connector.connector("writer"),
            "writable",
            limit_s=0.8,
            on_failure=failures.take,
        )
    assert failures


async def test_a_database_that_is_read_only_by_default_is_not_writable(
    served: Served,
) -> None:
    async with on(served.writer) as admin:
        change = f'ALTER DATABASE "{served.name}" SET default_transaction_read_only'
        await admin.execute(f"{change} = on")
        failures = Failures()
        connector = served.connectors().connector("writer")
        waiting = asyncio.create_task(
            wait(connector, "writable", limit_s=30, on_failure=failures.take)
        )
        await failures.arrived()
        assert "default_transaction_read_only" in failures[0].message
        await admin.execute(f"{change} = off")
        assert (await waiting).attempts > 1


async def test_waiting_does_not_help_a_wrong_password(served: Served) -> None:
    place = served.writer.addresses[0]
    url = f"postgresql://dbops:wrong@{place}/{served.name}?sslmode=disable"
    connectors = Connectors(load_settings(flags={"database_url": url}))
    with pytest.raises(ConfigError):
        await wait(connectors.connector("writer"), "writable", limit_s=30)


async def test_what_takes_two_endpoints_is_not_asked_of_one(served: Served) -> None:
    with pytest.raises(UsageError):
        await wait(served.connectors().connector("writer"), "replica", limit_s=1)


@pytest.fixture
async def project(tmp_path: Path) -> Project:
    """A project of three revisions."""
    await init(tmp_path)
    down = None
    for name in ("a1", "b2", "c3"):
        (tmp_path / "migrations" / "versions" / f"{name}.py").write_text(
            textwrap.dedent(f"""
                \"\"\"do {name}\"\"\"
                from alembic import op
                revision, down_revision = {name!r}, {down!r}
                def upgrade(): op.execute('CREATE TABLE {name} (n int)')
                def downgrade(): op.execute('DROP TABLE {name}')
            """)
        )
        down = name
    return Project(str(tmp_path / "alembic.ini"))


def migrated(
    served: Served, project: Project, limit_s: float, failures: Failures | None = None
) -> asyncio.Task[Waited]:
    return asyncio.create_task(
        wait_for_migrations(
            served.connectors(),
            lambda: project,
            limit_s=limit_s,
            on_failure=failures.take if failures is not None else None,
        )
    )


async def test_migrations_are_waited_for_until_somebody_applies_them(
    served: Served, project: Project
) -> None:
    failures = Failures()
    waiting = migrated(served, project, 60, failures)
    await failures.arrived()
    assert failures[0].message == "3 of 3 revisions are pending: next is a1"
    await migrate(served.connectors(), project, "b2")
    half = len(failures)
    async with asyncio.timeout(20):
        while len(failures) < half + 2:
            await asyncio.sleep(0.05)
    assert failures[-1].message == "1 of 3 revisions is pending: next is c3"
    assert not waiting.done()
    await migrate(served.connectors(), project)
    assert (await waiting).attempts > 2


async def test_migrations_that_nobody_applies_are_pending(
    served: Served, project: Project
) -> None:
    await migrate(served.connectors(), project, "a1")
    with pytest.raises(PendingError, match="2 of 3 revisions are pending") as raised:
        await migrated(served, project, 1)
    assert "next is b2" in raised.value.message
    assert raised.value.retryable


async def test_a_database_ahead_of_the_code_is_refused_at_once(
    served: Served, project: Project
) -> None:
    await migrate(served.connectors(), project)
    async with on(served.writer) as writer:
        await writer.execute("UPDATE alembic_version SET version_num = 'z9'")
    failures = Failures()
    with pytest.raises(RefusedError, match="ahead of this code: it is at z9"):
        await migrated(served, project, 60, failures)
    assert failures == []


async def test_a_head_that_another_depends_on_is_not_waited_for(
    served: Served, project: Project, tmp_path: Path
) -> None:
    (tmp_path / "migrations" / "versions" / "d4.py").write_text(
        "revision, down_revision, depends_on = 'd4', None, 'c3'\n"
        "branch_labels = ('other',)\n"
        "def upgrade(): pass\ndef downgrade(): pass\n"
    )
    project = Project(str(tmp_path / "alembic.ini"))
    await migrate(served.connectors(), project, "heads")
    async with on(served.writer) as writer:
        rows = await writer.fetch("SELECT version_num FROM alembic_version")
    assert [row["version_num"] for row in rows] == ["d4"]
    assert (await migrated(served, project, 10)).attempts == 1


async def test_a_cheap_question_that_says_yes_is_believed(
    served: Served, project: Project
) -> None:
    answers = iter([False, True])

    async def is_surely_there() -> bool:
        return next(answers)

    found = await wait_for_migrations(
        served.connectors(),
        lambda: project,
        limit_s=30,
        is_surely_there=is_surely_there,
    )
    assert found.attempts == 2


async def test_migrations_wait_for_the_database_itself(
    served: Served, project: Project
) -> None:
    name, failures = new_name(), Failures()
    later = Served(name, served.writer.with_database(name), served.reader)
    waiting = migrated(later, project, 60, failures)
    await failures.arrived()
    assert failures[0].sqlstate == "3D000"
    async with on(served.writer) as admin:
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        await migrate(later.connectors(), project)
        await waiting
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


async def test_a_server_that_is_not_there_in_the_end_is_unreachable(
    served: Served, project: Project
) -> None:
    gone = Connectors(
        load_settings(flags={"database_url": "postgresql://u:p@127.0.0.1:1/x"})
    )
    with pytest.raises(UnreachableError, match="in vain: nothing listens"):
        await wait_for_migrations(gone, lambda: project, limit_s=1)


async def test_the_replica_is_waited_for(served: Served) -> None:
    connectors = served.connectors()
    is_there = "SELECT pg_catalog.to_regclass($1) IS NOT NULL"
    async with on(served.writer) as writer, on(served.reader) as reader:
        for n in range(10):
            await writer.execute(f"CREATE TABLE t{n} (n int)")
            await wait_for_replica(connectors, limit_s=30)
            assert await reader.fetchval(is_there, f"t{n}")
    found = await wait_for_replica(connectors, limit_s=30)
    assert found.waited_for == "replica"
    assert found.replica.reader == str(served.reader.addresses[0])


async def test_on_aurora_the_version_of_the_migrations_is_waited_for(
    served: Served, project: Project
) -> None:
    connectors = served.connectors()
    async with on(served.writer) as writer:
        await writer.execute("CREATE FUNCTION aurora_version() RETURNS int RETURN 1")
    with pytest.raises(RefusedError, match="is Aurora"):
        await wait_for_replica(connectors, limit_s=30)
    await migrate(connectors, project)
    found = await wait_for_replica(
        connectors, limit_s=30, version=lambda: read_version(connectors, project)
    )
    assert found.replica.bytes_behind is None
    async with on(served.reader) as reader:
        assert await reader.fetchval("SELECT version_num FROM alembic_version") == "c3"


async def test_without_a_reader_there_is_none_to_wait_for(served: Served) -> None:
    with pytest.raises(ConfigError, match="no reader is configured"):
        await wait_for_replica(connectors_to(served.writer), limit_s=1)


async def test_the_version_is_read_with_the_schema_of_its_table(
    served: Served, project: Project
) -> None:
    assert await read_version(served.connectors(), project) == Version(())
    await migrate(served.connectors(), project)
    found = await read_version(served.connectors(), project)
    assert found == Version(("c3",), "alembic_version", "public")
