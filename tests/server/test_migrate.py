"""migrate and status, on this repository's project and on ordinary ones."""

import asyncio
import json
import logging
import sys
import textwrap
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from dbops.engine.connect import Connectors, connect
from dbops.errors import (
    ConfigError,
    DbopsError,
    FailedError,
    LockedError,
    RefusedError,
    UnreachableError,
)
from dbops.local.state import Pair
from dbops.operations.init import init, starter_folder
from dbops.operations.migrate.apply import Options
from dbops.operations.migrate.offline.script import migration_sql
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.status import migration_status
from dbops.operations.migrate.upgrade import migrate
from dbops.settings import load_settings
from tests.conftest import Served, clean_environment
from tests.revisions import opened, tables, write_revision

STARTER = starter_folder() / "alembic.ini"


async def test_this_repository_migrates_from_empty_and_then_does_nothing(
    served: Served,
) -> None:
    first = await migrate(served.connectors(), Project(str(STARTER)))
    second = await migrate(served.connectors(), Project(str(STARTER)))
    assert first.before == ()
    assert [step.revision for step in first.applied] == ["0001", "0002"]
    assert first.after == second.before == second.after == ("0002",)
    assert second.applied == ()
    assert all(step.duration_ms > 0 for step in first.applied)
    assert {"articles", "visits"} <= await tables(served)


async def test_alembic_itself_reaches_the_same_schema(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in served.environment.items():
        monkeypatch.setenv(name, value)
    await asyncio.to_thread(command.upgrade, Config(str(STARTER)), "head")
    found = await migrate(served.connectors(), Project(str(STARTER)))
    assert found.before == ("0002",)
    assert found.applied == ()


async def test_a_failing_revision_is_named_and_the_ones_before_it_stay(
    served: Served, project: Path
) -> None:
    write_revision(project, "d4", "c3", "op.execute('CREATE TABLE d (n int)')\n1 / 0")
    with pytest.raises(FailedError, match="revision d4 failed") as raised:
        await migrate(served.connectors(), opened(project))
    assert "3 of 4" in raised.value.message
    assert await tables(served) == {"alembic_version", "a", "b", "c"}
    found = await migration_status(served.connectors(), opened(project))
    assert found.current == ("c3",)
    assert found.state == "behind"


async def test_a_server_error_keeps_its_sqlstate(served: Served, project: Path) -> None:
    write_revision(project, "d4", "c3", "op.execute('CREATE TABLE a (n int)')")
    with pytest.raises(FailedError, match="already exists") as raised:
        await migrate(served.connectors(), opened(project))
    assert raised.value.sqlstate == "42P07"


async def test_status_tells_empty_behind_at_head_and_ahead_apart(
    served: Served, project: Path
) -> None:
    connectors = served.connectors()
    empty = await migration_status(connectors, opened(project))
    await migrate(connectors, opened(project), "b2")
    behind = await migration_status(connectors, opened(project))
    await migrate(connectors, opened(project))
    at_head = await migration_status(connectors, opened(project))
    for name in ("b2", "c3"):
        (project / "migrations" / "versions" / f"{name}.py").unlink()
    ahead = await migration_status(connectors, opened(project))
    assert [s.state for s in (empty, behind, at_head, ahead)] == [
        "empty",
        "behind",
        "at_head",
        "ahead",
    ]
    assert [s.outcome for s in (empty, behind, at_head, ahead)] == [
        "pending",
        "pending",
        "ok",
        "refused",
    ]
    assert [p.revision for p in empty.pending] == ["a1", "b2", "c3"]
    assert [p.revision for p in behind.pending] == ["c3"]


async def test_a_head_that_another_depends_on_is_not_pending(
    served: Served, project: Path
) -> None:
    write_revision(project, "x9", None, "op.execute('CREATE TABLE x (n int)')")
    file = project / "migrations" / "versions" / "x9.py"
    file.write_text(file.read_text() + "depends_on = 'c3'\n")
    await migrate(served.connectors(), opened(project), "heads")
    found = await migration_status(served.connectors(), opened(project))
    assert found.state == "at_head"
    assert found.pending == ()


async def test_one_of_two_databases_behind_is_behind(
    pair: Pair, served: Served, project: Path
) -> None:
    second = served.writer.with_database("postgres")
    urls = [
        it.url(show_password=True).replace("postgresql:", "postgresql+psycopg:")
        for it in (served.writer, second)
    ]
    (project / "migrations" / "env.py").write_text(
        "from alembic import context\n"
        "from sqlalchemy import create_engine\n"
        f"for url in {urls!r}:\n"
        "    with create_engine(url).connect() as connection:\n"
        "        context.configure(connection=connection, version_table='of_two')\n"
        "        with context.begin_transaction():\n"
        "            context.run_migrations()\n"
    )
    first = await connect(served.writer)
    await first.execute("CREATE TABLE of_two (version_num text)")
    await first.execute("INSERT INTO of_two VALUES ('c3')")
    await first.close()
    found = await migration_status(served.connectors(), opened(project))
    assert found.state == "empty"
    assert [step.revision for step in found.pending] == ["a1", "b2", "c3"]


async def test_status_changes_nothing(served: Served, project: Path) -> None:
    await migration_status(served.connectors(), opened(project))
    assert await tables(served) == set()


async def test_a_database_ahead_of_the_code_is_refused(
    served: Served, project: Path
) -> None:
    await migrate(served.connectors(), opened(project))
    (project / "migrations" / "versions" / "c3.py").unlink()
    with pytest.raises(RefusedError, match="ahead"):
        await migrate(served.connectors(), opened(project))


async def test_several_heads_need_a_target(served: Served, project: Path) -> None:
    write_revision(project, "x9", "b2", "op.execute('CREATE TABLE x (n int)')")
    with pytest.raises(RefusedError, match="several heads"):
        await migrate(served.connectors(), opened(project))
    found = await migrate(served.connectors(), opened(project), "heads")
    assert found.after == ("c3", "x9")


async def test_six_at_once_in_one_process_take_turns(
    served: Served, project: Path
) -> None:
    results = await asyncio.gather(
        *(migrate(served.connectors(), opened(project)) for _ in range(6))
    )
    assert sorted(len(result.applied) for result in results) == [0, 0, 0, 0, 0, 3]
    assert {result.after for result in results} == {("c3",)}


async def test_whoever_holds_the_lock_is_named(served: Served, project: Path) -> None:
    other = await connect(served.writer, application_name="other migrator")
    key = "pg_catalog.hashtextextended('dbops:migrate:public.alembic_version', 0)"
    await other.execute(f"SELECT pg_catalog.pg_advisory_lock({key})")
    try:
        said: list[str] = []
        with pytest.raises(LockedError, match="other migrator") as raised:
            await migrate(
                served.connectors(lock_timeout="300ms"),
                opened(project),
                options=Options(on_progress=said.append),
            )
        assert [text.partition(": ")[0] for text in said] == [
            "waiting for another migrator"
        ]
        assert str(other.get_server_pid()) in raised.value.message
    finally:
        await other.close()
    assert (await migrate(served.connectors(), opened(project))).after == ("c3",)


async def test_a_concurrent_index_is_built_outside_a_transaction(
    served: Served, project: Path
) -> None:
    write_revision(
        project,
        "d4",
        "c3",
        """
        with op.get_context().autocommit_block():
            op.execute('CREATE INDEX CONCURRENTLY a_n ON a (n)')
        """,
    )
    assert (await migrate(served.connectors(), opened(project))).after == ("d4",)


async def test_what_failed_outside_of_a_transaction_is_not_called_rolled_back(
    served: Served, project: Path
) -> None:
    write_revision(
        project,
        "d4",
        "c3",
        """
        with op.get_context().autocommit_block():
            op.execute('CREATE TABLE d (n int)')
        op.execute('SELECT no_such_thing')
        """,
    )
    with pytest.raises(FailedError, match="outside of its transaction stays"):
        await migrate(served.connectors(), opened(project))
    assert "d" in await tables(served)


async def test_a_connection_that_is_lost_leaves_the_outcome_unknown(
    served: Served, project: Path
) -> None:
    kill = "op.execute('SELECT pg_terminate_backend(pg_backend_pid())')"
    write_revision(project, "d4", "c3", kill)
    with pytest.raises(UnreachableError, match="whether it was kept is unknown"):
        await migrate(served.connectors(), opened(project))
    found = await migration_status(served.connectors(), opened(project))
    assert found.current == ("c3",)


async def test_a_standby_is_refused(served: Served, project: Path) -> None:
    reader = served.environment["DATABASE_READER_URL"]
    with pytest.raises(RefusedError) as raised:
        await migrate(served.connectors(database_url=reader), opened(project))
    assert raised.value.sqlstate == "25006"


async def test_a_statement_run_before_configure_is_not_reported_as_done(
    served: Served, project: Path
) -> None:
    # Alembic then thinks that the transaction is somebody else's and commits nothing.
    (project / "migrations" / "env.py").write_text(
        "from alembic import context\n"
        "connection = context.config.attributes['connection']\n"
        "connection.exec_driver_sql('SELECT 1')\n"
        "context.configure(connection=connection)\n"
        "with context.begin_transaction():\n"
        "    context.run_migrations()\n"
    )
    with pytest.raises(FailedError, match="nothing was kept"):
        await migrate(served.connectors(), opened(project))
    assert await tables(served) == set()


@pytest.mark.parametrize("template", ["generic", "async", "pyproject"])
async def test_a_project_of_alembics_own_template_migrates(
    served: Served, tmp_path: Path, template: str
) -> None:
    ini = tmp_path / "alembic.ini"
    config = Config(str(ini), toml_file=str(tmp_path / "pyproject.toml"))
    await asyncio.to_thread(
        command.init, config, str(tmp_path / "migrations"), template=template
    )
    write_revision(tmp_path, "a1", None, "op.execute('CREATE TABLE a (n int)')")
    write_revision(tmp_path, "b2", "a1", "op.execute('CREATE TABLE b (n int)')")
    file = tmp_path / "pyproject.toml" if template == "pyproject" else ini
    first = await migrate(served.connectors(), Project(str(file)))
    second = await migrate(served.connectors(), Project(str(file)))
    assert [step.revision for step in first.applied] == ["a1", "b2"]
    assert first.after == second.after == ("b2",)
    assert second.applied == ()
    assert {"a", "b"} <= await tables(served)


@pytest.mark.parametrize("question", ["migrate", "status", "sql"])
async def test_an_application_that_migrates_keeps_its_log(
    served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture, question: str
) -> None:
    caplog.set_level(logging.INFO)
    ini, models = tmp_path / "alembic.ini", f"tests.models.{question}"
    folder = str(tmp_path / "migrations")
    await asyncio.to_thread(command.init, Config(str(ini)), folder)
    env = tmp_path / "migrations" / "env.py"
    env.write_text(
        # The models are imported before the log is configured.
        f"import logging; logging.getLogger({models!r})\n"
        f"{env.read_text()}"
        "logging.disable()\n"
    )
    write_revision(tmp_path, "a1", None, "op.execute('CREATE TABLE a (n int)')")
    project = Project(str(ini))
    log, root = logging.getLogger("tests.application"), logging.getLogger()
    file = logging.FileHandler(tmp_path / "log", mode="w")
    root.addHandler(file)
    before = list(root.handlers), root.level
    try:
        if question == "migrate":
            await migrate(served.connectors(), project)
        elif question == "status":
            await migration_status(served.connectors(), project)
        else:
            await migration_sql(project, "head")
        assert (list(root.handlers), root.level) == before
        log.error("said by the application")
        logging.getLogger(models).error("said by its models")
    finally:
        root.removeHandler(file)
        file.close()
    said = (tmp_path / "log").read_text()
    assert said == "said by the application\nsaid by its models\n"


async def test_a_project_with_a_url_of_its_own_keeps_it(
    served: Served, tmp_path: Path
) -> None:
    ini = tmp_path / "alembic.ini"
    config = Config(str(ini))
    await asyncio.to_thread(command.init, config, str(tmp_path / "migrations"))
    write_revision(tmp_path, "a1", None, "op.execute('CREATE TABLE a (n int)')")
    own = served.writer.url(show_password=True).replace(
        "postgresql://", "postgresql+psycopg://"
    )
    placeholder = "driver://user:pass@localhost/dbname"
    ini.write_text(ini.read_text().replace(placeholder, own.replace("%", "%%")))
    # No settings of dbops' are needed for that.
    found = await migrate(Connectors(load_settings()), Project(str(ini)))
    assert found.after == ("a1",)
    assert "a" in await tables(served)


@pytest.mark.parametrize("given", [None, "nowhere.ini"])
def test_without_a_configuration_the_hint_says_what_to_do(given: str | None) -> None:
    with pytest.raises(ConfigError) as raised:
        Project(given)
    assert raised.value.hint


async def test_init_leaves_existing_files_alone(tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").write_text("mine")
    first = await init(tmp_path)
    assert first.existing == ("alembic.ini",)
    assert (tmp_path / "alembic.ini").read_text() == "mine"
    assert (await init(tmp_path, force=True)).existing == ()


async def test_a_revision_that_waits_for_a_table_is_locked_out_in_time(
    served: Served, project: Path
) -> None:
    await migrate(served.connectors(), opened(project))
    write_revision(project, "d4", "c3", "op.execute('ALTER TABLE a ADD x int')")
    reader = await connect(served.writer)
    await reader.execute("BEGIN; SELECT * FROM a")
    try:
        with pytest.raises(LockedError, match="revision d4 failed") as raised:
            await migrate(
                served.connectors(ddl_lock_timeout=0.3, ddl_retries=1), opened(project)
            )
        assert raised.value.sqlstate == "55P03"
    finally:
        await reader.close()


async def test_cancelling_ends_the_statement_on_the_server(
    served: Served, project: Path
) -> None:
    write_revision(project, "d4", "c3", "op.execute('SELECT pg_sleep(600)')")
    said: list[str] = []
    options = Options(on_progress=said.append)
    task = asyncio.ensure_future(
        migrate(served.connectors(), opened(project), options=options)
    )
    watcher = await connect(served.writer)
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(600)' "
    sleeping += "AND state = 'active' AND pid <> pg_backend_pid()"
    async with asyncio.timeout(30):
        while not await watcher.fetchval(sleeping):
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, DbopsError)):
            await task
        while await watcher.fetchval(sleeping):
            await asyncio.sleep(0.02)
    await watcher.close()
    assert said == ["3 revisions were applied; d4 was under way and is rolled back"]
    found = await migration_status(served.connectors(), opened(project))
    assert found.current == ("c3",)


@pytest.mark.parametrize("template", ["borrowed", "generic", "async"])
async def test_a_killed_migrator_leaves_no_statement_behind(
    served: Served, tmp_path: Path, cache_dir: Path, template: str
) -> None:
    if template == "borrowed":
        await init(tmp_path)
    else:
        config = Config(str(tmp_path / "alembic.ini"))
        folder = str(tmp_path / "migrations")
        await asyncio.to_thread(command.init, config, folder, template=template)
    write_revision(tmp_path, "a1", None, "op.execute('SELECT pg_sleep(600)')")
    admin = await connect(served.writer)
    # The tests' own server would notice the death by itself; by default none does.
    never = "SET client_connection_check_interval = 0"
    await admin.execute(f'ALTER DATABASE "{served.name}" {never}')
    await admin.close()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dbops", "migrate"),
        env={**clean_environment(cache_dir), **served.environment},
        cwd=tmp_path,
    )
    watcher = await connect(served.writer)
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(600)' "
    sleeping += "AND state = 'active' AND pid <> pg_backend_pid()"
    async with asyncio.timeout(30):
        while not await watcher.fetchval(sleeping):
            await asyncio.sleep(0.02)
    process.kill()
    await process.wait()
    async with asyncio.timeout(3):
        while await watcher.fetchval(sleeping):
            await asyncio.sleep(0.02)
    await watcher.close()


async def test_six_processes_at_once_apply_each_revision_once(
    served: Served, project: Path, cache_dir: Path
) -> None:
    # Slow, so that they meet; processes, because one process takes turns by itself.
    slow = "op.execute('SELECT pg_sleep(0.3)'); op.execute('CREATE TABLE d (n int)')"
    write_revision(project, "d4", "c3", slow)
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dbops", "migrate", "--format", "json"),
            env={**clean_environment(cache_dir), **served.environment},
            cwd=project,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(6)
    ]
    outputs = await asyncio.gather(*(process.communicate() for process in processes))
    results = [json.loads(out)["result"] for out, _ in outputs]
    assert [process.returncode for process in processes] == [0] * 6
    assert sorted(len(result["applied"]) for result in results) == [0, 0, 0, 0, 0, 4]
    assert {tuple(result["after"]) for result in results} == {("d4",)}


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_connect_arguments_of_env_py_outlive_being_led_elsewhere(
    served: Served, project: Path, driver: str
) -> None:
    arguments: dict[str, object] = {"options": "-c search_path=theirs"}
    if driver == "asyncpg":
        arguments = {"server_settings": {"search_path": "theirs"}}
    body = textwrap.dedent(f"""
        import asyncio
        from alembic import context
        from sqlalchemy import create_engine
        from sqlalchemy.ext.asyncio import create_async_engine
        from sqlalchemy.pool import NullPool

        URL = "postgresql+{driver}://nobody@192.0.2.1:1/nowhere"
        OPTIONS = dict(connect_args={arguments!r}, poolclass=NullPool)

        def go(connection):
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()

        async def go_async():
            async with create_async_engine(URL, **OPTIONS).connect() as connection:
                await connection.run_sync(go)

        if {driver == "asyncpg"}:
            asyncio.run(go_async())
        else:
            with create_engine(URL, **OPTIONS).connect() as connection:
                go(connection)
    """)
    (project / "migrations" / "env.py").write_text(body)
    admin = await connect(served.writer)
    await admin.execute("CREATE SCHEMA theirs")
    bound = Connectors(served.settings().bound())
    await migrate(bound, opened(project))
    query = "SELECT to_regclass('theirs.alembic_version') IS NOT NULL"
    assert await admin.fetchval(query)
    await admin.close()
