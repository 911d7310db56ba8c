"""Checksums, settings, files, rates, restarts, migrations, each with a twin."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from dbops.engine.connect import Connection, Connectors
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.doctor import Diagnosis
from dbops.operations.doctor.answer import Severity
from dbops.operations.init import init
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import installed_postgresql
from tests.revisions import write_revision
from tests.server.doctored import about, configured, diagnosed, session, until

LIMIT_S = 30.0


@pytest.fixture(scope="module", params=["embedded", "installed"])
async def ours(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """A writer of our own, on 18 and on the system's own version."""
    settings = {"fsync": "on", "shared_buffers": "1MB", "deadlock_timeout": "10ms"}
    pg_bin = installed_postgresql() if request.param == "installed" else None
    async with throwaway(pg_bin=pg_bin, settings=settings, standby=False) as pair:
        async with session(pair.writer) as admin:
            await admin.execute(
                "CREATE ROLE plain LOGIN PASSWORD 'plain'; "
                "CREATE ROLE monitor LOGIN PASSWORD 'monitor' IN ROLE pg_monitor"
            )
        yield pair


def to(pair: Pair, user: str | None = None, **flags: object) -> Connectors:
    place = pair.writer
    if user is not None:
        place = replace(place, user=user, password=SecretStr(user))
    url = place.url(show_password=True)
    flags = {"database_url": url, "interval": 0.3, **flags}
    return Connectors(load_settings(flags=flags))


async def test_a_damaged_page_is_told_where_there_are_checksums(ours: Pair) -> None:
    async with session(ours.writer) as admin:
        has_checksums = await admin.fetchval("SHOW data_checksums") == "on"
        found = await diagnosed(to(ours), "D37")
        assert (found.status, found.findings) == (Status.OK, ())
        assert bool(found.notes) is not has_checksums
        if has_checksums:
            await _damage(admin)
            found = await until(lambda: diagnosed(to(ours), "D37"), Status.FAIL)
            assert "damaged" in about(found, "postgres").message
            assert "pg_amcheck" in (about(found, "postgres").remedy or "")
            plain = await diagnosed(to(ours, "plain"), "D37")
            assert plain.status is Status.FAIL
            await admin.execute("SELECT pg_stat_reset()")


async def _damage(admin: Connection) -> None:
    """Change a byte of a table on the disk, and let the server read it."""
    await admin.execute("CREATE TABLE damaged AS SELECT 1 AS n; CHECKPOINT")
    folder = await admin.fetchval("SHOW data_directory")
    name = await admin.fetchval("SELECT pg_relation_filepath('damaged')")
    file = Path(folder) / name
    page = bytearray(file.read_bytes())
    page[-1] ^= 0xFF
    file.write_bytes(page)
    await admin.execute("CREATE TABLE other AS SELECT * FROM generate_series(1, 60000)")
    async with asyncio.timeout(LIMIT_S):
        with suppress(asyncpg.DataCorruptedError):
            while True:
                # Until the good page has left the server's memory.
                await admin.execute("SELECT count(*) FROM other")
                await admin.execute("UPDATE other SET generate_series = 0")
                await admin.execute("SELECT * FROM damaged")
    await admin.execute("DROP TABLE damaged, other")


@pytest.mark.parametrize(
    ("name", "value", "severity"),
    [
        ("fsync", "off", Severity.FAIL),
        ("full_page_writes", "off", Severity.FAIL),
        ("autovacuum", "off", Severity.WARN),
        ("track_counts", "off", Severity.WARN),
        ("zero_damaged_pages", "on", Severity.WARN),
    ],
)
async def test_a_dangerous_setting_is_named_and_its_default_is_not(
    ours: Pair, name: str, value: str, severity: Severity
) -> None:
    healthy = await diagnosed(to(ours, "monitor"), "D38")
    assert (healthy.status, healthy.findings) == (Status.OK, ())
    async with configured(ours.writer, **{name: value}):
        found = await until(
            lambda: diagnosed(to(ours, "plain"), "D38"), Status(severity.value)
        )
        assert [it.object for it in found.findings] == [name]
        assert f"ALTER SYSTEM SET {name}" in (about(found, name).remedy or "")
    await until(lambda: diagnosed(to(ours), "D38"), Status.OK)


async def test_what_is_usual_and_not_best_is_a_note(ours: Pair) -> None:
    found = await diagnosed(to(ours), "D38")
    assert any("statement_timeout is 0" in it for it in found.notes)
    async with session(ours.writer) as admin:
        await admin.execute("ALTER ROLE plain SET statement_timeout = '5s'")
        await admin.execute("ALTER ROLE plain SET password_encryption = 'md5'")
    found = await diagnosed(to(ours, "plain"), "D38")
    assert not any("statement_timeout" in it for it in found.notes)
    assert any("md5" in it for it in found.notes)
    assert found.status is Status.OK


async def test_a_setting_that_waits_for_a_restart_is_told_to_everybody(
    ours: Pair,
) -> None:
    assert (await diagnosed(to(ours), "D39")).findings == ()
    async with configured(ours.writer, max_connections="77"):
        for user in ("dbops", "monitor", "plain"):
            connectors = to(ours, None if user == "dbops" else user)
            found = await until(lambda c=connectors: diagnosed(c, "D39"), Status.WARN)  # type: ignore[misc] # the loop's own
            assert [it.object for it in found.findings] == ["max_connections"]
            assert bool(found.notes) is (user != "dbops")
    await until(lambda: diagnosed(to(ours), "D39"), Status.OK)


@contextmanager
def added(file: Path, line: str) -> Generator[None]:
    """Write a line more into a file for the block."""
    before = file.read_text()
    file.write_text(before + line)
    try:
        yield
    finally:
        file.write_text(before)


async def test_a_line_that_cannot_be_read_is_told_to_who_may_see_it(ours: Pair) -> None:
    notes: tuple[str, ...] = ()
    async with session(ours.writer) as admin:
        for setting, line in (
            ("config_file", "nonsense = 1\n"),
            ("hba_file", "local all all wishful\n"),
        ):
            with added(Path(await admin.fetchval(f"SHOW {setting}")), line):
                found = await diagnosed(to(ours), "D39")
                assert found.status is Status.WARN
                assert len(found.findings) == 1
                hidden = await diagnosed(to(ours, "monitor"), "D39")
                assert hidden.status is Status.OK
                assert any("GRANT EXECUTE" in it for it in hidden.notes)
                notes = hidden.notes
        for grant in (it for it in notes if "GRANT" in it):
            await admin.execute(grant.partition("lets it: ")[2])
    found = await diagnosed(to(ours, "monitor"), "D39")
    assert (found.status, found.findings, found.notes) == (Status.OK, (), ())


@asynccontextmanager
async def repeatedly(work: object) -> AsyncGenerator[None]:
    """Do something again and again for the block."""

    async def again() -> None:
        while True:
            await work()  # type: ignore[operator] # a coroutine function

    task = asyncio.create_task(again())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def informed(pair: Pair, thing: str, **limits: str) -> Diagnosis:
    """Ask for the rates until something is said about them."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            found = await diagnosed(to(pair), "D41", **limits)
            if any(thing in it.message for it in found.findings):
                return found


async def test_deadlocks_of_now_are_told_and_those_of_before_are_not(
    ours: Pair,
) -> None:
    async with session(ours.writer) as one, session(ours.writer) as two:
        await one.execute("CREATE TABLE pairs AS SELECT n FROM generate_series(1, 2) n")

        async def embrace() -> None:
            for each, first in ((one, 1), (two, 2)):
                await each.execute("BEGIN")
                await each.execute("UPDATE pairs SET n = n WHERE n = $1", first)
            with suppress(asyncpg.DeadlockDetectedError):
                await asyncio.gather(
                    one.execute("UPDATE pairs SET n = n WHERE n = 2"),
                    two.execute("UPDATE pairs SET n = n WHERE n = 1"),
                )
            # Not earlier: a statement of it may be on its way still.
            await asyncio.sleep(0.05)
            await one.execute("ROLLBACK")
            await two.execute("ROLLBACK")

        async with repeatedly(embrace):
            found = await informed(ours, "deadlock")
        assert found.status is Status.OK
        assert {it.severity for it in found.findings} == {Severity.INFO}
    # Sessions tell their counters at their end at the latest.
    async with asyncio.timeout(LIMIT_S):
        while (await diagnosed(to(ours), "D41")).findings:
            pass


async def test_temporary_files_are_told_above_a_threshold(ours: Pair) -> None:
    async with session(ours.writer) as sorter:

        async def sort() -> None:
            await sorter.execute(
                "SET work_mem = '64kB';"
                "SELECT count(*) FROM (SELECT n FROM generate_series(1, 200000) n"
                " ORDER BY n DESC OFFSET 1) s"
            )

        async with repeatedly(sort):
            found = await informed(ours, "temporary files", temp="100kB")
            assert found.status is Status.OK
            graded = await diagnosed(to(ours), "D41", temp="1TB")
            assert not [it for it in graded.findings if "temporary" in it.message]


async def test_a_young_server_is_a_note(ours: Pair) -> None:
    found = await diagnosed(to(ours), "D42")
    assert (found.status, found.findings) == (Status.OK, ())
    assert "started" in found.notes[0]
    assert (await diagnosed(to(ours), "D42", value="10ms")).notes == ()


@pytest.fixture
async def project(
    ours: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Connection]:
    """A project of two revisions in the current folder, and an empty version table."""
    await init(tmp_path)
    write_revision(tmp_path, "a1", None, "pass")
    write_revision(tmp_path, "b2", "a1", "pass")
    monkeypatch.chdir(tmp_path)
    async with session(ours.writer) as admin:
        await admin.execute(
            "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)"
        )
        yield admin
        await admin.execute("DROP TABLE IF EXISTS alembic_version")
        await admin.execute("DROP SCHEMA IF EXISTS app CASCADE")


async def test_a_database_at_head_is_well(ours: Pair, project: Connection) -> None:
    await project.execute("INSERT INTO alembic_version VALUES ('b2')")
    found = await diagnosed(to(ours), "D43")
    assert (found.status, found.applies) == (Status.OK, True)
    assert "b2" in found.summary


async def test_pending_migrations_are_named(ours: Pair, project: Connection) -> None:
    found = await diagnosed(to(ours), "D43")
    assert "lacks a1, b2" in about(found, "public.alembic_version").message
    await project.execute("INSERT INTO alembic_version VALUES ('a1')")
    found = await diagnosed(to(ours), "D43")
    assert found.status is Status.WARN
    assert "has a1 and lacks b2" in about(found, "public.alembic_version").message


async def test_an_unknown_revision_fails(ours: Pair, project: Connection) -> None:
    await project.execute("INSERT INTO alembic_version VALUES ('c3')")
    found = await diagnosed(to(ours), "D43")
    assert found.status is Status.FAIL
    assert "does not know" in about(found, "public.alembic_version").message


async def test_who_may_not_read_the_version_does_not_know(
    ours: Pair, project: Connection
) -> None:
    found = await diagnosed(to(ours, "plain"), "D43")
    assert found.status is Status.UNKNOWN
    assert found.requires is not None
    await project.execute(found.requires)
    assert (await diagnosed(to(ours, "plain"), "D43")).status is Status.WARN


async def test_the_version_is_looked_for_where_env_py_keeps_it(
    ours: Pair, project: Connection, tmp_path: Path
) -> None:
    await project.execute(
        "INSERT INTO alembic_version VALUES ('c3');"
        "CREATE SCHEMA app;"
        "CREATE TABLE app.alembic_version (version_num text);"
        "INSERT INTO app.alembic_version VALUES ('b2')"
    )
    assert (await diagnosed(to(ours), "D43")).status is Status.FAIL
    with added(
        tmp_path / "migrations" / "env.py",
        '\nkept = dict(version_table_schema="app")\n',
    ):
        assert (await diagnosed(to(ours), "D43")).status is Status.OK


async def test_a_project_that_never_migrated_this_database_is_told_if_it_was_named(
    ours: Pair, project: Connection
) -> None:
    await project.execute("DROP TABLE alembic_version")
    assert not (await diagnosed(to(ours), "D43")).applies
    named = await diagnosed(to(ours, alembic_config="alembic.ini"), "D43")
    assert named.status is Status.WARN
    missing = await diagnosed(to(ours, alembic_config="nowhere.ini"), "D43")
    assert missing.status is Status.UNKNOWN


async def test_where_there_is_no_project_there_is_nothing_to_ask(ours: Pair) -> None:
    found = await diagnosed(to(ours), "D43")
    assert (found.status, found.applies) == (Status.OK, False)
