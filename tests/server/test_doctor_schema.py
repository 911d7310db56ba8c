"""What is unproved, running out, unlogged or swollen, and what only looks like it."""

from collections.abc import AsyncGenerator

import pytest

from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.doctor import Diagnosis
from dbops.operations.doctor.answer import Severity
from dbops.results import Status
from tests.conftest import installed_postgresql, new_name, until_reachable
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
MOST = 2_147_483_647


@pytest.fixture(scope="module", params=["embedded", "installed"])
async def ours(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """A pair of our own, because catalogs are changed, and WAL is piled up."""
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


async def test_a_constraint_that_was_never_proved_is_found_and_can_be(
    shop: Shop,
) -> None:
    await shop.run(
        "CREATE TABLE p (id int PRIMARY KEY)",
        f"CREATE TABLE {ODD} (n int, CHECK (n > 0))",
        f"ALTER TABLE {ODD} ADD CONSTRAINT {ODD} CHECK (n > 0) NOT VALID",
        "CREATE TABLE kid (p int REFERENCES p)",
        "ALTER TABLE kid ADD CONSTRAINT fk FOREIGN KEY (p) REFERENCES p NOT VALID",
        "CREATE DOMAIN d AS int",
        "ALTER DOMAIN d ADD CONSTRAINT dc CHECK (value > 0) NOT VALID",
        "CREATE TABLE parent (n int); CREATE TABLE child () INHERITS (parent)",
        "ALTER TABLE parent ADD CONSTRAINT pc CHECK (n > 0) NOT VALID",
        # What is not ours.
        "CREATE TABLE its (n int); ALTER TABLE its ADD CHECK (n > 0) NOT VALID",
        "ALTER EXTENSION plpgsql ADD TABLE its",
        "CREATE TEMP TABLE short (n int)",
        "ALTER TABLE short ADD CHECK (n > 0) NOT VALID",
    )
    found = await shop.asked("D30")
    assert objects(found) == {
        f"public.{ODD}.{ODD}", "public.kid.fk", "public.d.dc", "public.parent.pc",
    }  # fmt: skip
    assert found.status is Status.WARN
    assert (await shop.asked("D30", user="plain")).findings == found.findings
    for finding in found.findings:
        assert finding.remedy is not None
        await shop.run(finding.remedy)
    assert (await shop.asked("D30")).findings == ()


async def test_a_valid_constraint_is_not_reported_nor_one_that_is_not_enforced(
    shop: Shop,
) -> None:
    idle = "NOT ENFORCED" if shop.major >= 18 else ""
    await shop.run(
        "CREATE TABLE p (id int PRIMARY KEY)",
        f"CREATE TABLE kid (p int REFERENCES p {idle}, CHECK (p > 0) {idle})",
        "ALTER TABLE kid ADD CONSTRAINT c CHECK (p < 9) NOT VALID",
        "ALTER TABLE kid VALIDATE CONSTRAINT c",
    )
    found = await shop.asked("D30")
    assert (found.status, found.findings) == (Status.OK, ())
    assert ("public.kid.kid_p_fkey" in "".join(found.notes)) == bool(idle)


async def test_a_sequence_near_its_end_is_found_with_what_gives_it_room(
    shop: Shop,
) -> None:
    await shop.run(
        "CREATE TABLE serial (id serial PRIMARY KEY)",
        f"SELECT setval('serial_id_seq', {MOST - 5})",
        # The column ends before its sequence does.
        "CREATE SEQUENCE wide; CREATE TABLE narrow (n int DEFAULT nextval('wide'))",
        "SELECT setval('wide', 2000000000)",
        "CREATE DOMAIN tiny AS smallint",
        "CREATE SEQUENCE odd; CREATE TABLE small (n tiny DEFAULT nextval('odd'))",
        "SELECT setval('odd', 25000)",
        f"CREATE TABLE {ODD} ({ODD} int GENERATED ALWAYS AS IDENTITY)",
        "SELECT setval(seqrelid, 2147483647) FROM pg_sequence "
        "WHERE seqrelid::regclass::text LIKE '%red%'",
        "CREATE SEQUENCE shared",
        "CREATE TABLE parted (k int, n int DEFAULT nextval('shared')) "
        "PARTITION BY RANGE (k)",
        "CREATE TABLE a_part PARTITION OF parted FOR VALUES FROM (0) TO (9)",
        "SELECT setval('shared', 2000000000)",
        "CREATE SEQUENCE down INCREMENT -1 MINVALUE -100",
        "SELECT setval('down', -95)",
        "CREATE SEQUENCE capped MAXVALUE 100; SELECT setval('capped', 80)",
        # It begins again too late for its column.
        "CREATE SEQUENCE late CYCLE",
        "CREATE TABLE of_late (n int DEFAULT nextval('late'))",
        f"SELECT setval('late', {MOST})",
    )
    found = await shop.asked("D34")
    sequence = 'public."odd ""one\n\x1b[31m[red]_odd ""one\n\x1b[31m[red]_seq"'
    assert {it.object: it.severity for it in found.findings} == {
        "public.serial_id_seq": Severity.FAIL, "public.wide": Severity.FAIL,
        "public.odd": Severity.WARN, sequence: Severity.FAIL,
        "public.down": Severity.FAIL, "public.capped": Severity.WARN,
        "public.late": Severity.FAIL, "public.shared": Severity.FAIL,
    }  # fmt: skip
    assert "public.narrow.n is integer" in about(found, "public.wide").message
    for finding in found.findings:
        assert finding.remedy is not None
        await shop.run(finding.remedy)
    assert (await shop.asked("D34")).findings == ()


async def test_a_sequence_with_room_is_not_reported(shop: Shop) -> None:
    await shop.run(
        "CREATE TABLE few (id serial); SELECT setval('few_id_seq', 9)",
        "CREATE TABLE big (id bigserial); SELECT setval('big_id_seq', 9000000000)",
        "CREATE SEQUENCE turning MAXVALUE 100 CYCLE; SELECT setval('turning', 99)",
        "CREATE SEQUENCE down INCREMENT -1; SELECT setval('down', -2000000000)",
        "CREATE SEQUENCE whole AS int MINVALUE -2147483648 START 1",
        "SELECT setval('whole', 1200000000)",
        "CREATE SEQUENCE regained AS int MINVALUE -2147483648 START 1",
        "SELECT setval('regained', -2147483000)",
        "CREATE SEQUENCE text; CREATE TABLE texts (n text DEFAULT nextval('text'))",
        f"SELECT setval('text', {MOST})",
        "CREATE TABLE its (n serial); ALTER EXTENSION plpgsql ADD SEQUENCE its_n_seq",
        f"SELECT setval('its_n_seq', {MOST})",
        f"CREATE TEMP TABLE t (n serial); SELECT setval('t_n_seq', {MOST})",
    )
    assert (await shop.asked("D34")).findings == ()


async def test_where_a_sequence_begins_counts_until_it_is_used(shop: Shop) -> None:
    await shop.run(
        "CREATE SEQUENCE high AS int START 2140000000",
        f"CREATE SEQUENCE back AS int; ALTER SEQUENCE back RESTART WITH {MOST - 9}",
    )
    found = await shop.asked("D34")
    # Below 18 nothing but the sequence itself tells about a restart: that is noted.
    if shop.major >= 18:
        assert objects(found) == {"public.high", "public.back"}
    else:
        assert objects(found) == {"public.high"}
        assert "public.back" in found.notes[0]


async def test_a_sequence_that_may_not_be_read_is_unknown_and_hides_no_other(
    shop: Shop,
) -> None:
    await shop.run(
        f"CREATE SCHEMA {ODD}; CREATE SEQUENCE {ODD}.hidden AS int",
        f"SELECT setval('{ODD}.hidden', {MOST})",
        "CREATE SEQUENCE used AS int; CREATE SEQUENCE shown AS int",
        f"SELECT setval('used', {MOST}), setval('shown', {MOST})",
        "GRANT USAGE ON SEQUENCE used TO plain, monitor",
        "GRANT SELECT ON SEQUENCE shown TO plain, monitor",
    )
    for user in ("plain", "monitor"):
        found = await shop.asked("D34", user=user)
        unknown = about(found, f"{ODD}.*")
        assert unknown.severity is Severity.UNKNOWN
        assert about(found, "public.used").severity is Severity.FAIL
        assert about(found, "public.shown").severity is Severity.FAIL
        assert len(found.findings) == 3
        assert found.requires == unknown.remedy
        assert found.requires is not None
        # The GRANT works.
        await shop.run(found.requires)
        found = await shop.asked("D34", user=user)
        assert {it.severity for it in found.findings} == {Severity.FAIL}
        assert f"{ODD}.hidden" in objects(found)


async def test_a_sequence_that_is_being_changed_stops_nobody(shop: Shop) -> None:
    await shop.run(
        "CREATE SEQUENCE locked; CREATE SEQUENCE free AS int",
        f"SELECT setval('free', {MOST})",
    )
    async with session(shop.pair.writer.with_database(shop.name)) as changing:
        await changing.execute("BEGIN; ALTER SEQUENCE locked INCREMENT 2")
        found = await shop.asked("D34")
    assert about(found, "public.locked").severity is Severity.UNKNOWN
    assert about(found, "public.free").severity is Severity.FAIL


async def test_an_unlogged_table_is_told_and_can_be_logged(shop: Shop) -> None:
    await shop.run(
        f"CREATE UNLOGGED TABLE {ODD} (id serial, n int)",
        "CREATE TABLE logged (n int); CREATE TEMP TABLE short (n int)",
        "CREATE UNLOGGED SEQUENCE alone",
    )
    found = await shop.asked("D35", user="plain")
    assert objects(found) == {f"public.{ODD}", "public.alone"}
    assert found.status is Status.OK
    assert {it.severity for it in found.findings} == {Severity.INFO}
    for finding in found.findings:
        assert finding.remedy is not None
        await shop.run(finding.remedy)
    assert (await shop.asked("D35")).findings == ()


async def test_a_database_that_was_sorted_otherwise_is_found_on_both_servers(
    shop: Shop,
) -> None:
    # Debian's own template is C.UTF-8, whose order is fixed and has no version.
    sorting = "" if shop.major >= 18 else "LOCALE_PROVIDER icu ICU_LOCALE 'de'"
    name = new_name()
    await shop.run(f"CREATE DATABASE {name} TEMPLATE template0 {sorting}")
    await until_reachable(shop.pair.reader.with_database(name))
    try:
        await reported_where_sorted_otherwise(shop, name)
    finally:
        await shop.run(f"DROP DATABASE {name} WITH (FORCE)")


async def reported_where_sorted_otherwise(shop: Shop, name: str) -> None:
    to = leading_to(shop.pair, database=name)
    assert (await diagnosed(to, "D36")).findings == ()
    await shop.session.execute(
        "UPDATE pg_database SET datcollversion = '0.1' WHERE datname = $1", name
    )
    await shop.replayed()
    writer, reader = (await diagnosed(to, "D36")).findings
    assert (writer.object, writer.role, writer.severity) == (
        name, "writer", Severity.WARN,
    )  # fmt: skip
    assert (reader.object, reader.role, reader.remedy) == (name, "reader", None)
    plain = await diagnosed(leading_to(shop.pair, user="plain", database=name), "D36")
    assert plain.findings == (writer, reader)
    assert writer.remedy is not None
    async with session(shop.pair.writer.with_database(name)) as there:
        for statement in writer.remedy.split("; "):
            await there.execute(statement)
    await shop.replayed()
    assert (await diagnosed(to, "D36")).findings == ()


async def test_a_collation_of_another_version_matters_where_an_index_uses_it(
    shop: Shop,
) -> None:
    made = "provider = icu, locale = 'de'"
    if shop.major >= 18:
        # The embedded server has no ICU.
        made = "provider = builtin, locale = 'C.UTF-8'"
    await shop.run(
        f"CREATE COLLATION {ODD} ({made}, version = '0.1')",
        f"CREATE COLLATION idle ({made}, version = '0.1')",
        f"CREATE COLLATION sound ({made})",
        f"CREATE TABLE t (a text COLLATE {ODD}, b text COLLATE sound)",
        f'CREATE INDEX {ODD[:-1]}i" ON t (a); CREATE INDEX ib ON t (b)',
        # One that came with the server, and that nothing is sorted by.
        "UPDATE pg_collation SET collversion = '0.1' WHERE collversion IS NOT NULL "
        "AND collnamespace = 'pg_catalog'::regnamespace",
    )
    await shop.replayed()
    found = await shop.asked("D36", user="plain")
    writer = [it for it in found.findings if it.role == "writer"]
    assert {it.object: it.severity for it in writer} == {
        f"public.{ODD}": Severity.WARN, "public.idle": Severity.INFO,
    }  # fmt: skip
    for finding in writer:
        assert finding.remedy is not None
        for statement in finding.remedy.split("; "):
            await shop.run(statement)
    await shop.replayed()
    assert (await shop.asked("D36")).findings == ()


async def test_wal_that_piles_up_is_found_and_what_is_meant_to_stay_is_not(
    shop: Shop,
) -> None:
    assert (await shop.asked("D40")).findings == ()
    await shop.run("SELECT pg_create_physical_replication_slot('gone', true)")
    try:
        for _ in range(6):
            await shop.run(
                "SELECT pg_logical_emit_message(true, 'test', 'x')",
                "SELECT pg_switch_wal()",
            )
        small = {"min_wal_size": "32MB", "max_wal_size": "32MB"}
        async with configured(shop.pair.writer, **small, wal_keep_size="0"):
            await until_true(
                shop.session, "SELECT current_setting('max_wal_size') = '32MB'"
            )
            found = await shop.asked("D40", user="monitor")
            finding = about(found, "pg_wal")
            assert (finding.severity, finding.role) == (Severity.WARN, "writer")
            assert finding.remedy is not None
            await shop.run(finding.remedy)
        async with configured(shop.pair.writer, **small, wal_keep_size="128MB"):
            await until_true(
                shop.session, "SELECT current_setting('wal_keep_size') = '128MB'"
            )
            assert (await shop.asked("D40")).findings == ()
    finally:
        await shop.run("SELECT pg_drop_replication_slot('gone')")
    assert any(it.startswith(f"{shop.name}: ") for it in found.notes)


async def test_who_may_not_see_wal_is_told_what_would_let_one(shop: Shop) -> None:
    found = await shop.asked("D40", user="plain")
    assert found.status is Status.UNKNOWN
    assert found.requires is not None
    assert "GRANT pg_monitor TO plain" in found.requires


async def test_a_table_that_is_mostly_empty_is_estimated_when_asked(shop: Shop) -> None:
    await shop.run(
        "CREATE TABLE hollow (id int, x text) WITH (fillfactor = 10)",
        "ALTER TABLE hollow ADD PRIMARY KEY (id) WITH (fillfactor = 10)",
        "INSERT INTO hollow SELECT n, repeat('x', 200) FROM generate_series(1, 9000) n",
        "VACUUM ANALYZE hollow",
        "ALTER TABLE hollow RESET (fillfactor)",
        "ALTER INDEX hollow_pkey RESET (fillfactor)",
        f"ALTER TABLE hollow RENAME TO {ODD}",
        "CREATE TABLE loose (id int PRIMARY KEY, x text) WITH (fillfactor = 40)",
        "CREATE TABLE full_one (id int PRIMARY KEY, x text, y int)",
        "INSERT INTO loose SELECT n, repeat('x', 200) FROM generate_series(1, 9000) n",
        "INSERT INTO full_one SELECT n, repeat('x', n % 300) FROM "
        "generate_series(1, 9000) n",
        "VACUUM ANALYZE loose, full_one",
    )
    assert (await shop.asked("D45")).findings == ()
    found = await shop.asked("D45", size="100kB")
    table, index = sorted(found.findings, key=lambda it: "pkey" in it.object)
    assert (table.object, table.severity) == (f"public.{ODD}", Severity.INFO)
    assert found.status is Status.OK
    assert table.remedy is not None
    assert index.remedy is not None
    assert index.remedy.startswith("REINDEX INDEX CONCURRENTLY ")
    hidden = await shop.asked("D45", user="monitor", size="100kB")
    assert (hidden.status, hidden.requires) == (
        Status.UNKNOWN,
        "GRANT pg_read_all_data TO monitor",
    )
    await shop.run(table.remedy, index.remedy)
    assert (await shop.asked("D45", size="100kB")).findings == ()
