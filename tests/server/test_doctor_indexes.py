"""Indexes that are broken, needless or lacking, and those that only look like it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, Connectors
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.doctor import Diagnosis
from dbops.operations.doctor.answer import Severity
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import installed_postgresql
from tests.server.doctored import (
    Shop,
    about,
    configured,
    diagnosed,
    leading_to,
    make_roles,
    new_shop,
    session,
    until_true,
)

ODD = '"odd ""one\n\x1b[31m[red]"'


@pytest.fixture(scope="module", params=["embedded", "installed"])
async def ours(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """A pair of our own, because statistics of indexes and standbys are counted."""
    pg_bin = installed_postgresql() if request.param == "installed" else None
    async with throwaway(pg_bin=pg_bin) as pair:
        await make_roles(pair)
        yield pair


@pytest.fixture
async def shop(ours: Pair) -> AsyncGenerator[Shop]:
    async with new_shop(ours) as made:
        yield made


def objects(found: Diagnosis) -> set[str]:
    return {it.object for it in found.findings}


def note(found: Diagnosis, beginning: str) -> str:
    (said,) = [it for it in found.notes if it.startswith(beginning)]
    return said


@asynccontextmanager
async def held_up(shop: Shop, statement: str) -> AsyncGenerator[Connection]:
    """Let a statement run for the block: it waits for an old transaction."""
    async with session(shop.writer) as old, session(shop.writer) as working:
        await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        task = asyncio.create_task(working.execute(statement))
        pid = working.get_server_pid()
        await until_true(
            shop.session,
            f"SELECT pg_blocking_pids({pid}) <> '{{}}'",
        )
        try:
            yield working
        finally:
            await shop.session.execute(f"SELECT pg_cancel_backend({pid})")
            with pytest.raises(asyncpg.QueryCanceledError):
                await task
            await old.execute("ROLLBACK")


async def test_an_index_whose_build_was_cancelled_is_found_and_can_be_rebuilt(
    shop: Shop,
) -> None:
    await shop.run(
        f"CREATE TABLE {ODD} (n int); INSERT INTO {ODD} SELECT generate_series(1, 99)"
    )
    async with held_up(shop, f'CREATE INDEX CONCURRENTLY "i {ODD[1:]} ON {ODD} (n)'):
        pass
    (finding,) = (await shop.asked("D29")).findings
    for user in ("monitor", "plain"):
        assert (await shop.asked("D29", user=user)).findings == (finding,)
    assert (finding.severity, finding.database) == (Severity.WARN, shop.name)
    assert finding.object == f'public."i {ODD[1:]}'
    assert "every write pays" in finding.message
    assert finding.remedy is not None
    assert finding.remedy.startswith("REINDEX INDEX CONCURRENTLY ")
    await shop.run(finding.remedy)
    assert (await shop.asked("D29")).findings == ()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX CONCURRENTLY made ON t (n)",
        "REINDEX TABLE CONCURRENTLY t",
        "DROP INDEX CONCURRENTLY was",
    ],
)
async def test_an_index_in_work_is_noted_and_not_reported(
    shop: Shop, statement: str
) -> None:
    await shop.run("CREATE TABLE t (n int)", "CREATE INDEX was ON t (n)")
    async with session(shop.writer) as reading:
        if statement.startswith("DROP"):
            # It waits for who uses the table, and the index is invalid meanwhile.
            await reading.execute("BEGIN; SELECT FROM t")
        async with held_up(shop, statement):
            for user in (None, "monitor", "plain"):
                found = await shop.asked("D29", user=user)
                assert (found.status, found.findings) == (Status.OK, ())
                assert "public." in note(found, "being built or dropped now")


async def test_a_build_that_ends_meanwhile_is_not_reported(shop: Shop) -> None:
    await shop.run("CREATE TABLE t (n int)", "CREATE INDEX i ON t (n)")
    await shop.run(
        "UPDATE pg_index SET indisvalid = false WHERE indrelid = 't'::regclass"
    )
    asking = asyncio.create_task(shop.asked("D29"))
    # Between its two looks.
    await until_true(
        shop.session,
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND state = 'idle' AND application_name LIKE 'dbops%')",
    )
    await asyncio.sleep(0.15)
    await shop.run(
        "UPDATE pg_index SET indisvalid = true WHERE indrelid = 't'::regclass"
    )
    assert (await asking).findings == ()


async def test_what_an_invalid_index_costs_makes_its_severity(shop: Shop) -> None:
    await shop.run(
        "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (1)",
        "CREATE TABLE parted (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (9)",
        "CREATE INDEX of_parted ON ONLY parted (n)",
        "CREATE INDEX i ON t (n)",
    )
    for left in ("UNIQUE INDEX CONCURRENTLY u ON t (n)",
                 "INDEX CONCURRENTLY empty ON t ((1 / (n - 1)))"):  # fmt: skip
        with pytest.raises(asyncpg.PostgresError):
            await shop.run(f"CREATE {left}")
    async with held_up(shop, "REINDEX INDEX CONCURRENTLY i"):
        pass
    found = await shop.asked("D29")
    assert objects(found) == {"public.u", "public.empty", "public.i_ccnew"}
    assert about(found, "public.u").severity is Severity.WARN
    assert "duplicate" in about(found, "public.u").message
    assert about(found, "public.empty").severity is Severity.INFO
    remnant = about(found, "public.i_ccnew").remedy
    assert remnant == "DROP INDEX CONCURRENTLY public.i_ccnew"
    assert "public.of_parted" in note(found, "lacking in some partition")


async def test_an_invalid_index_of_a_toast_table_can_be_dropped(shop: Shop) -> None:
    await shop.run("CREATE TABLE t (x text)")
    async with held_up(shop, "REINDEX TABLE CONCURRENTLY t"):
        pass
    (finding,) = (await shop.asked("D29")).findings
    assert "TOAST table of public.t" in finding.message
    assert finding.remedy is not None
    await shop.run(finding.remedy)
    assert (await shop.asked("D29")).findings == ()


async def test_a_standby_cannot_tell_whether_an_index_is_being_built(
    shop: Shop,
) -> None:
    await shop.run("CREATE TABLE t (n int)", "CREATE INDEX i ON t (n)")
    await shop.run(
        "UPDATE pg_index SET indisvalid = false WHERE indrelid = 't'::regclass"
    )
    await shop.replayed()
    url = shop.reader.url(show_password=True)
    found = await diagnosed(
        Connectors(load_settings(flags={"database_url": url})), "D29"
    )
    assert found.status is Status.UNKNOWN


async def test_of_the_same_indexes_one_that_backs_a_constraint_stays(
    shop: Shop,
) -> None:
    await shop.run(
        "CREATE TABLE t (id int, a int, b text, c text)",
        "CREATE INDEX a1 ON t (a, b)",
        "CREATE INDEX a2 ON t (a, b) WITH (fillfactor = 70)",
        "CREATE INDEX e1 ON t (lower(b)); CREATE INDEX e2 ON t (  lower( b ) )",
        "CREATE INDEX p1 ON t (c) WHERE a > 1; CREATE INDEX p2 ON t (c) WHERE (a>1)",
        "CREATE INDEX g1 ON t USING gin (to_tsvector('simple', b))",
        f"CREATE INDEX {ODD} ON t USING gin (to_tsvector('simple', b))",
        "CREATE UNIQUE INDEX u1 ON t (id); ALTER TABLE t ADD PRIMARY KEY (id)",
        "CREATE UNIQUE INDEX v1 ON t (a, c); ALTER TABLE t ADD UNIQUE (a, c)",
        # A foreign key holds on to what it references.
        "CREATE UNIQUE INDEX r2 ON t (c); CREATE UNIQUE INDEX r1 ON t (c)",
        "CREATE TABLE kid (c text REFERENCES t (c), UNIQUE (c))",
        "CREATE TABLE parted (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (9)",
        "CREATE INDEX of1 ON parted (n); CREATE INDEX of2 ON parted (n)",
    )
    found = await shop.asked("D31", user="plain")
    held = await shop.session.fetchval(
        "SELECT conindid::regclass::text FROM pg_constraint WHERE contype = 'f'"
    )
    free = {"r1": "r2", "r2": "r1"}[held]
    assert objects(found) == {
        "public.a2", "public.e2", "public.p2", f"public.{ODD}", "public.u1",
        "public.v1",
        f"public.{free}", "public.of2",
    }  # fmt: skip
    assert {it.severity for it in found.findings} == {Severity.INFO}
    assert found.status is Status.OK
    for finding in found.findings:
        assert finding.remedy is not None
        await shop.run(finding.remedy)
    assert (await shop.asked("D31")).findings == ()


async def test_indexes_that_differ_in_anything_are_not_the_same(shop: Shop) -> None:
    await shop.run(
        "CREATE TABLE t (a int UNIQUE, b text, c text, d int, UNIQUE (d), EXCLUDE (d "
        "WITH =))",
        "CREATE INDEX plain ON t (b)",
        "CREATE INDEX opclass ON t (b text_pattern_ops)",
        "CREATE INDEX sorting ON t (b DESC)",
        "CREATE INDEX nulls ON t (b NULLS FIRST)",
        'CREATE INDEX "collation" ON t (b COLLATE "C")',
        "CREATE INDEX partial ON t (b) WHERE a > 1",
        "CREATE INDEX other_partial ON t (b) WHERE a > 2",
        "CREATE INDEX including ON t (b) INCLUDE (c)",
        "CREATE INDEX longer ON t (b, c)",
        "CREATE INDEX turned ON t (c, b)",
        "CREATE INDEX hashed ON t USING hash (b)",
        "CREATE UNIQUE INDEX alone ON t (b)",
        "CREATE INDEX beside_a_constraint ON t (a)",
        "ALTER TABLE t ADD e int UNIQUE DEFERRABLE; CREATE INDEX beside_that ON t (e)",
        "CREATE INDEX wide ON t USING brin (d) WITH (pages_per_range = 8)",
        "CREATE INDEX narrow ON t USING brin (d) WITH (pages_per_range = 9)",
        "CREATE UNIQUE INDEX distinct_nulls ON t (c)",
        "CREATE UNIQUE INDEX equal_nulls ON t (c) NULLS NOT DISTINCT",
        # What an extension has made is not ours, and what is invalid is another's.
        "CREATE TABLE its (n int)",
        "CREATE INDEX i1 ON its (n); CREATE INDEX i2 ON its (n)",
        "ALTER EXTENSION plpgsql ADD TABLE its",
        "CREATE INDEX invalid ON t (b)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'invalid'::regclass",
    )
    found = await shop.asked("D31")
    assert found.findings == ()
    assert "beside_a_constraint (by public.t_a_key)" in note(found, "covered")


async def test_a_large_duplicate_is_a_warning(shop: Shop) -> None:
    await shop.run(
        "CREATE TABLE t (n int)", "CREATE INDEX i ON t (n)", "CREATE INDEX j ON t (n)"
    )
    assert (await shop.asked("D31", value="1B")).status is Status.WARN


async def scan(endpoint: Endpoint, column: str) -> None:
    """Use an index, and let the server know."""
    async with session(endpoint) as using:
        await using.execute("SET enable_seqscan = off")
        await using.fetch(f"SELECT FROM t WHERE {column} = 1")
        await using.execute("SELECT pg_stat_force_next_flush(); SELECT 1")


async def test_an_index_is_unused_where_neither_writer_nor_reader_uses_it(
    shop: Shop,
) -> None:
    await shop.run(
        "CREATE TABLE t (id int PRIMARY KEY, w int, r int, nobody int, u int UNIQUE)",
        "INSERT INTO t SELECT n, n, n, n, n FROM generate_series(1, 999) n",
        "CREATE INDEX w ON t (w); CREATE INDEX r ON t (r)",
        "CREATE UNIQUE INDEX once ON t (nobody, id)",
        f"CREATE INDEX {ODD} ON t (nobody)",
        "CREATE TABLE hollow (n int); CREATE INDEX hollow_n ON hollow (n)",
        "CREATE TABLE parted (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE old PARTITION OF parted FOR VALUES FROM (0) TO (9)",
        "CREATE TABLE new PARTITION OF parted FOR VALUES FROM (9) TO (9999)",
        "INSERT INTO parted SELECT generate_series(1, 999)",
        "CREATE INDEX of_parted ON parted (n)",
        "SELECT pg_stat_force_next_flush()",
    )
    await shop.replayed()
    await scan(shop.writer, "w")
    await scan(shop.reader, "r")
    async with session(shop.writer) as using:
        await using.execute("SET enable_seqscan = off; SELECT FROM parted WHERE n = 99")
        await using.execute("SELECT pg_stat_force_next_flush(); SELECT 1")
    found = await shop.asked("D32", value="0s")
    (finding,) = found.findings
    assert (finding.object, finding.severity) == (f"public.{ODD}", Severity.INFO)
    assert found.status is Status.OK
    assert objects(await shop.asked("D32", user="plain", value="0s")) == objects(found)
    assert finding.remedy == f"DROP INDEX CONCURRENTLY public.{ODD}"
    assert found.notes == ()
    # The reader alone uses it: asking the writer alone would have lost it.
    alone = leading_to(shop.pair, database=shop.name, only_writer=True)
    undecided = await diagnosed(alone, "D32", value="0s")
    assert undecided.status is Status.UNKNOWN
    assert undecided.requires == "DATABASE_READER_URL"


async def test_statistics_that_are_young_say_nothing_about_use(shop: Shop) -> None:
    await shop.run(
        "CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)", "CREATE INDEX i ON t (n)"
    )
    found = await shop.asked("D32")
    assert (found.applies, found.status) == (False, Status.OK)
    assert "14 days" in found.summary
    # The server is older than its statistics.
    async with asyncio.timeout(30):
        while not (await shop.asked("D32", value="500ms")).applies:
            await asyncio.sleep(0.05)
    await shop.run("SELECT pg_stat_reset()")
    assert not (await shop.asked("D32", value="500ms")).applies


async def test_an_index_that_was_made_today_is_not_called_unused(shop: Shop) -> None:
    await shop.run(
        "CREATE TABLE t (n int)",
        "INSERT INTO t VALUES (1)",
        "CREATE INDEX old ON t (n)",
    )
    await shop.run("SELECT pg_stat_force_next_flush()", "SELECT pg_sleep(1)")
    await shop.run("CREATE INDEX young ON t ((n + 1))")
    await shop.replayed()
    found = await shop.asked("D32", value="800ms")
    assert objects(found) == {"public.old"}


async def test_a_standby_that_was_not_asked_is_told(shop: Shop) -> None:
    await shop.run(
        "CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)", "CREATE INDEX i ON t (n)"
    )
    await shop.run("SELECT pg_create_physical_replication_slot('another')")
    try:
        await shop.run("SELECT pg_stat_force_next_flush()")
        await shop.replayed()
        found = await shop.asked("D32", value="0s")
    finally:
        await shop.run("SELECT pg_drop_replication_slot('another')")
    assert objects(found) == {"public.i"}
    assert note(found, "standbys that were not asked").endswith(": 1")


async def test_a_reader_that_is_silent_or_does_not_count_leaves_use_undecided(
    shop: Shop,
) -> None:
    await shop.run(
        "CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)", "CREATE INDEX i ON t (n)"
    )
    await shop.run("SELECT pg_stat_force_next_flush()")
    await shop.replayed()
    async with configured(shop.pair.reader, track_counts="off"):
        async with session(shop.reader) as reader:
            await until_true(reader, "SELECT NOT current_setting('track_counts')::bool")
        found = await shop.asked("D32", value="0s")
    assert found.status is Status.UNKNOWN
    assert found.requires == "ALTER SYSTEM SET track_counts = on"
    async with session(shop.reader) as reader:
        await until_true(reader, "SELECT current_setting('track_counts')::bool")
    flags = {
        "database_url": shop.writer.url(show_password=True),
        "database_reader_url": "postgresql://dbops@127.0.0.1:1/postgres",
    }
    silent = await diagnosed(Connectors(load_settings(flags=flags)), "D32", value="0s")
    assert silent.status is Status.UNKNOWN
    assert "gives no answer" in silent.summary


async def test_the_readers_of_aurora_are_counted_its_own_way(shop: Shop) -> None:
    """Stand-ins of the documented shape: no Aurora is at hand."""
    await shop.run(
        "CREATE TABLE t (n int)",
        "INSERT INTO t VALUES (1)",
        "CREATE INDEX i ON t (n)",
        "CREATE FUNCTION pg_catalog.aurora_version() RETURNS text LANGUAGE sql "
        "AS $$ SELECT '16.4.0' $$",
        "CREATE FUNCTION pg_catalog.aurora_replica_status(OUT server_id text, "
        "OUT session_id text) RETURNS SETOF record LANGUAGE sql AS $$ VALUES "
        "('db-1', 'MASTER_SESSION_ID'), ('db-2', 'a'), ('db-3', 'b') $$",
        "SELECT pg_stat_force_next_flush()",
    )
    alone = leading_to(shop.pair, database=shop.name, only_writer=True)
    found = await diagnosed(alone, "D32", value="0s")
    assert found.status is Status.UNKNOWN
    assert "standbys (2)" in found.findings[0].message


async def test_a_foreign_key_without_an_index_is_found(shop: Shop) -> None:
    await shop.run(
        "CREATE TABLE p (id int PRIMARY KEY, a int, b text, UNIQUE (a, b))",
        "CREATE TABLE bare (p int REFERENCES p)",
        "CREATE TABLE partial (p int REFERENCES p, x int)",
        "CREATE INDEX ON partial (p) WHERE x > 1",
        "CREATE TABLE second (x int, p int REFERENCES p)",
        "CREATE INDEX ON second (x, p)",
        "CREATE TABLE half (a int, b text, FOREIGN KEY (a, b) REFERENCES p (a, b))",
        "CREATE INDEX ON half (a) INCLUDE (b)",
        "CREATE INDEX ON half (a, (lower(b)), b)",
        "CREATE TABLE included (p int REFERENCES p, x int)",
        "CREATE INDEX ON included (x) INCLUDE (p)",
        "CREATE TABLE collated (a int, b text, FOREIGN KEY (a, b) REFERENCES p (a, b))",
        'CREATE INDEX ON collated (a, b COLLATE "POSIX")',
        "CREATE TABLE ranged (p int REFERENCES p)",
        "CREATE INDEX ON ranged USING brin (p)",
        f"CREATE TABLE {ODD} ({ODD} int CONSTRAINT {ODD} REFERENCES p)",
        "CREATE TABLE parted (p int REFERENCES p) PARTITION BY RANGE (p)",
        "CREATE TABLE part1 PARTITION OF parted FOR VALUES FROM (0) TO (9)",
        "CREATE TABLE part2 PARTITION OF parted FOR VALUES FROM (9) TO (99)",
        "CREATE INDEX ON part1 (p)",
    )
    found = await shop.asked("D33", user="plain")
    assert objects(found) == {
        "public.bare.bare_p_fkey", "public.partial.partial_p_fkey",
        "public.second.second_p_fkey", "public.half.half_a_b_fkey",
        "public.included.included_p_fkey", "public.collated.collated_a_b_fkey",
        "public.ranged.ranged_p_fkey", f"public.{ODD}.{ODD}",
        "public.parted.parted_p_fkey",
    }  # fmt: skip
    assert {it.severity for it in found.findings} == {Severity.INFO}
    for finding in found.findings:
        assert finding.remedy is not None
        await shop.run(finding.remedy)
    assert (await shop.asked("D33")).findings == ()


async def test_a_foreign_key_that_an_index_serves_is_not_reported(shop: Shop) -> None:
    await shop.run(
        "CREATE TABLE p (id int PRIMARY KEY, a int, b int)",
        "ALTER TABLE p ADD CONSTRAINT ab UNIQUE (a, b)",
        "CREATE TABLE n (b text PRIMARY KEY)",
        "CREATE TABLE longer (p int REFERENCES p, x int)",
        "CREATE INDEX ON longer (p, x)",
        "CREATE TABLE turned (a int, b int, x int)",
        "ALTER TABLE turned ADD FOREIGN KEY (a, b) REFERENCES p (a, b)",
        "CREATE INDEX ON turned (b, a, x)",
        "CREATE TABLE own (id int PRIMARY KEY REFERENCES p)",
        "CREATE TABLE sharp (a int UNIQUE, b int)",
        "ALTER TABLE sharp ADD FOREIGN KEY (a, b) REFERENCES p (a, b)",
        "CREATE TABLE hashed (p int REFERENCES p)",
        "CREATE INDEX ON hashed USING hash (p)",
        "CREATE TABLE named (b text REFERENCES n)",
        "CREATE INDEX ON named USING spgist (b)",
        # No row that is referenced has a NULL there.
        "CREATE TABLE filled (p int REFERENCES p)",
        "CREATE INDEX ON filled (p) WHERE p IS NOT NULL",
        "CREATE TABLE parted (p int REFERENCES p) PARTITION BY RANGE (p)",
        "CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (9)",
        "CREATE INDEX ON parted (p)",
        "CREATE TABLE to_parted (n int PRIMARY KEY) PARTITION BY RANGE (n)",
        "CREATE TABLE to_part PARTITION OF to_parted FOR VALUES FROM (0) TO (9)",
        "CREATE TABLE kid (n int REFERENCES to_parted); CREATE INDEX ON kid (n)",
        "CREATE TABLE its (p int REFERENCES p); ALTER EXTENSION plpgsql ADD TABLE its",
    )
    if shop.session.get_server_version().major >= 18:
        await shop.run("CREATE TABLE idle (p int REFERENCES p NOT ENFORCED)")
    assert (await shop.asked("D33")).findings == ()
    # The planner agrees about the partial one.
    await shop.run("SET enable_seqscan = off")
    plan = await shop.session.fetchval("EXPLAIN SELECT FROM filled WHERE p = 1")
    assert "Seq Scan" not in plan


async def test_a_large_table_without_its_index_is_a_warning(shop: Shop) -> None:
    await shop.run(
        "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1)",
        "CREATE TABLE kid (p int REFERENCES p); INSERT INTO kid VALUES (1)",
        "VACUUM kid",
    )
    assert (await shop.asked("D33")).status is Status.OK
    found = await shop.asked("D33", value="8kB")
    assert about(found, "public.kid.kid_p_fkey").severity is Severity.WARN
