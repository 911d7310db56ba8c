"""The rules' claims, measured on a real server."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from dbops.engine.connect import Connection, Connectors, connect
from dbops.operations.init import init
from dbops.operations.lint.actions import read_actions
from dbops.operations.lint.facts import facts
from dbops.operations.lint.finding import Finding, Source
from dbops.operations.lint.judge import judge
from dbops.operations.lint.known import Known
from dbops.operations.lint.lint import lint
from dbops.operations.lint.locks import Lock, lock_of
from dbops.operations.lint.names import Name
from dbops.operations.lint.pending import revisions_to_lint
from dbops.operations.lint.reading import statements
from dbops.operations.lint.rules import RULES
from dbops.operations.lint.tokens import Token
from dbops.operations.lint.volatile import STEADY
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.upgrade import migrate
from dbops.settings import load_settings
from tests.conftest import Served
from tests.lint_catalogue import CATALOGUE, ROWS, SETUP, Labelled

MEASURED = [one for one in CATALOGUE if one.runs and not one.alone]
SINGLE = [one for one in MEASURED if ";" not in one.sql.rstrip(";")]
ALONE = [one for one in CATALOGUE if one.runs and one.alone]
READING = ("rewrite", "scan")

RELATIONS = """
    SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name,
           pg_relation_filenode(c.oid)::int8 AS file,
           pg_stat_get_xact_numscans(c.oid) AS scans, c.relkind = 'm' AS is_view
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname IN ('public', 'archive') AND c.relkind IN ('r', 'p', 'm', 'v')
"""
LOCKS = """
    SELECT relation::int8 AS oid, mode FROM pg_locks
     WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted
"""


@dataclass
class Measured:
    """What some SQL has done to one relation that was there before."""

    lock: Lock = Lock.NONE
    is_rewritten: bool = False
    is_scanned: bool = False
    is_view: bool = False

    @property
    def is_dangerous(self) -> bool:
        """Whether writers wait while all of the table is read or written."""
        # Nobody writes to a materialized view.
        least = Lock.ACCESS_EXCLUSIVE if self.is_view else Lock.SHARE
        return self.lock >= least and (self.is_rewritten or self.is_scanned)


@pytest.fixture
async def filled(served: Served) -> Served:
    connection = await connect(served.writer)
    await connection.execute(SETUP)
    await connection.execute(ROWS)
    await connection.execute("ANALYZE")
    await connection.close()
    return served


def runnable(connection: Connection, labelled: Iterable[Labelled]) -> list[Labelled]:
    """Leave out what this server is too old for."""
    version = connection.get_server_version().major
    return [one for one in labelled if one.since <= version]


async def measure(connection: Connection, sql: str) -> dict[Name, Measured]:
    """Run SQL in a transaction, look at what it did, and roll it back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        before = {row["oid"]: row for row in await connection.fetch(RELATIONS)}
        await connection.execute(sql)
        after = {row["oid"]: row for row in await connection.fetch(RELATIONS)}
        locks = await connection.fetch(LOCKS)
    finally:
        await transaction.rollback()
    modes = {lock.mode: lock for lock in Lock}
    found = {}
    for oid, row in before.items():
        held = [modes[lock["mode"]] for lock in locks if lock["oid"] == oid]
        now = after.get(oid, row)
        found[Name(row["schema"], row["name"])] = Measured(
            max(held, default=Lock.NONE),
            row["file"] != now["file"],
            now["scans"] > row["scans"],
            row["is_view"],
        )
    return found


def judged(labelled: Labelled, known: Known) -> list[Finding]:
    source = Source(sql=labelled.sql, transactional=not labelled.alone)
    return judge([source], known)


async def known_of(served: Served, labelled: Labelled) -> Known:
    """Ask the server about everything that the SQL names."""
    names = {
        action.table
        for statement in statements(Source(sql=labelled.sql))
        for action in read_actions(statement.words)
        if action.table is not None
    }
    names |= {Name(None, token.value) for token in _words(labelled)}
    return await facts(served.connectors().connector("writer"), names)


def _words(labelled: Labelled) -> list[Token]:
    return [
        token
        for statement in statements(Source(sql=labelled.sql))
        for token in statement.words
        if token.is_identifier
    ]


async def test_the_lock_that_is_claimed_is_the_one_that_is_taken(
    filled: Served,
) -> None:
    connection = await connect(filled.writer)
    wrong = []
    for labelled in runnable(connection, SINGLE):
        if refused(labelled):
            continue
        found = await measure(connection, labelled.sql)
        claimed: dict[Name, Lock] = {}
        for action in read_actions(statements(Source(sql=labelled.sql))[0].words):
            name = action.table and Name(
                action.table.schema or "public", action.table.name
            )
            if name in found:
                claimed[name] = max(lock_of(action), claimed.get(name, Lock.NONE))
        wrong += [
            f"{labelled.sql}: {lock.name} is claimed, {found[name].lock.name} is taken"
            for name, lock in claimed.items()
            if lock is not found[name].lock
        ]
    await connection.close()
    assert not wrong, "\n".join(map(str, wrong))


def refused(labelled: Labelled) -> bool:
    return any(RULES[name].effect == "refused" for name in labelled.rules)


async def test_what_is_read_or_written_while_others_wait_is_found_and_nothing_else(
    filled: Served,
) -> None:
    connection = await connect(filled.writer)
    wrong = []
    for labelled in runnable(connection, MEASURED):
        if refused(labelled):
            continue
        found = (await measure(connection, labelled.sql)).values()
        effects = {RULES[name].effect for name in labelled.rules}
        is_dangerous = any(one.is_dangerous for one in found)
        is_found = (
            effects & {*READING, "loss", "break"} or "ddl-and-dml" in labelled.rules
        )
        if is_dangerous and not is_found:
            wrong.append(f"dangerous and not found: {labelled.sql}")
        if "rewrite" in effects and not any(one.is_rewritten for one in found):
            wrong.append(f"not rewritten: {labelled.sql}")
        if "scan" in effects and not is_dangerous:
            wrong.append(f"not scanned under a lock: {labelled.sql}")
    await connection.close()
    assert not wrong, "\n".join(map(str, wrong))


async def test_what_is_labelled_as_refused_is_refused_and_nothing_else_is(
    filled: Served,
) -> None:
    connection = await connect(filled.writer)
    wrong = []
    for labelled in runnable(connection, MEASURED):
        error = None
        try:
            await measure(connection, labelled.sql)
        except asyncpg.PostgresError as raised:
            error = raised
        if refused(labelled) != (error is not None):
            wrong.append(f"{labelled.sql}: {error}")
    await connection.close()
    assert not wrong, "\n".join(map(str, wrong))


async def test_what_runs_outside_of_a_transaction_does_so(filled: Served) -> None:
    connection = await connect(filled.writer)
    for labelled in runnable(connection, ALONE):
        for statement in statements(Source(sql=labelled.sql)):
            await connection.execute(statement.text)
        await connection.execute(
            "DROP SCHEMA public CASCADE; DROP SCHEMA archive CASCADE;"
            "CREATE SCHEMA public;" + SETUP + ROWS
        )
    await connection.close()


async def test_the_labels_hold_with_what_a_server_knows(filled: Served) -> None:
    wrong = []
    for labelled in CATALOGUE:
        found = judged(labelled, await known_of(filled, labelled))
        if {finding.rule for finding in found} != {*labelled.rules}:
            wrong.append((labelled.sql, [finding.rule for finding in found]))
    assert not wrong, "\n".join(map(str, wrong))


async def test_no_default_that_counts_as_steady_is_volatile(served: Served) -> None:
    connection = await connect(served.writer)
    rows = await connection.fetch(
        "SELECT proname, bool_or(provolatile = 'v') AS is_volatile FROM pg_proc"
        " WHERE pronamespace = 'pg_catalog'::regnamespace GROUP BY proname"
    )
    await connection.close()
    volatile = {row["proname"] for row in rows if row["is_volatile"]}
    assert STEADY.isdisjoint(volatile)
    assert {row["proname"] for row in rows} >= STEADY


async def test_how_large_a_table_is_decides_how_bad_a_finding_is(
    filled: Served,
) -> None:
    connectors = filled.connectors()
    source = Source(sql="CREATE INDEX i ON users (age)")
    (small,) = (await lint([source], connectors)).findings
    assert (small.severity, small.table, small.rows) == ("warn", "public.users", 500)
    assert small.size_bytes
    async with connectors.connector("writer").session() as writer:
        await writer.execute(
            "UPDATE pg_class SET reltuples = 2e6 WHERE oid = 'users'::regclass"
        )
    (big,) = (await lint([source], connectors)).findings
    assert (big.severity, big.rows) == ("fail", 2_000_000)


async def test_a_table_that_was_never_analysed_is_of_unknown_size(
    filled: Served,
) -> None:
    connectors = filled.connectors()
    async with connectors.connector("writer").session() as writer:
        await writer.execute("CREATE TABLE young AS SELECT 1 AS n")
    source = Source(sql="CREATE INDEX i ON young (n)")
    (found,) = (await lint([source], connectors)).findings
    assert (found.severity, found.rows) == ("fail", None)


async def test_a_partitioned_table_is_as_large_as_its_partitions(
    filled: Served,
) -> None:
    source = Source(sql="CREATE INDEX i ON events (id)")
    (found,) = (await lint([source], filled.connectors())).findings
    assert found.rows == 100
    assert found.size_bytes


async def test_the_reader_is_asked_and_else_the_writer(filled: Served) -> None:
    source = Source(sql="CREATE INDEX i ON orders (total)")
    await until_replayed(filled)
    asked = await lint([source], filled.connectors())
    assert asked.sizes_from == "reader"
    assert asked.findings[0].rows == 500
    said: list[str] = []
    dead = filled.connectors(database_reader_url="postgresql://u@127.0.0.1:1/x")
    asked = await lint([source], dead, on_notice=said.append)
    assert asked.sizes_from == "writer"
    assert "no sizes from the reader: nothing listens on 127.0.0.1:1" in said[0]


async def until_replayed(served: Served) -> None:
    connectors = served.connectors()
    async with connectors.connector("writer").session() as writer:
        lsn = await writer.fetchval("SELECT pg_current_wal_lsn()")
    async with asyncio.timeout(30), connectors.connector("reader").session() as reader:
        while not await reader.fetchval(
            "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", lsn
        ):
            await asyncio.sleep(0.02)


async def test_an_index_is_as_large_as_its_table(filled: Served) -> None:
    source = Source(sql="DROP INDEX users_name_idx")
    (found,) = (await lint([source], filled.connectors())).findings
    assert (found.table, found.rows) == ("public.users", 500)


async def test_only_what_is_pending_is_judged(served: Served, project: Path) -> None:
    connectors, opened = served.connectors(), Project(str(project / "alembic.ini"))
    await migrate(connectors, opened, "a1")
    sources = await revisions_to_lint(opened, None, connectors)
    assert [source.revision for source in sources] == ["b2", "c3"]
    found = await lint(sources, connectors)
    assert [(it.revision, it.rule) for it in found.findings] == [
        ("b2", "index-not-concurrent"),
        ("c3", "opaque"),
    ]
    assert found.findings[0].path_line == 6
    await migrate(connectors, opened)
    assert await revisions_to_lint(opened, None, connectors) == []


async def test_a_range_is_judged_by_sizes_alone(served: Served, project: Path) -> None:
    connectors, opened = served.connectors(), Project(str(project / "alembic.ini"))
    await migrate(connectors, opened)
    sources = await revisions_to_lint(opened, "base:b2", connectors)
    found = await lint(sources, connectors, is_past=True)
    assert [(it.revision, it.rule) for it in found.findings] == [
        ("b2", "index-not-concurrent")
    ]
    assert found.findings[0].size_bytes is not None


async def test_a_range_stands_on_the_revisions_before_it(project: Path) -> None:
    opened = Project(str(project / "alembic.ini"))
    sources = await revisions_to_lint(opened, "a1:b2", None)
    assert [(it.revision, it.is_earlier) for it in sources] == [
        ("a1", True),
        ("b2", False),
    ]
    assert (await lint(sources)).judged == ("b2",)


async def test_without_a_server_the_whole_history_is_judged(project: Path) -> None:
    opened = Project(str(project / "alembic.ini"))
    assert len(await revisions_to_lint(opened, None, None)) == 3
    settings = load_settings(flags={"database_url": "postgresql://u@127.0.0.1:1/x"})
    said: list[str] = []
    sources = await revisions_to_lint(
        opened, None, Connectors(settings), on_notice=said.append
    )
    assert len(sources) == 3
    assert "the whole history is judged: nothing listens" in said[0]


@pytest.fixture
async def project(tmp_path: Path) -> Path:
    """A project of three revisions: one safe, one not, one that reads first."""
    await init(tmp_path)
    bodies = {
        "a1": (None, "op.execute('CREATE TABLE IF NOT EXISTS a (n int)')"),
        "b2": ("a1", "op.create_index('a_n', 'a', ['n'])"),
        "c3": ("b2", "assert op.get_bind().execute(sa.text('SELECT 1')).scalar()"),
    }
    for name, (down, body) in bodies.items():
        (tmp_path / "migrations" / "versions" / f"{name}.py").write_text(
            f'"""do {name}"""\nimport sqlalchemy as sa\nfrom alembic import op\n'
            f"revision, down_revision = {name!r}, {down!r}\n"
            f"def upgrade():\n    {body}\n"
            "def downgrade():\n    pass\n"
        )
    return tmp_path
