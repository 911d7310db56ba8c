"""Dead rows, old statistics and old rows, and tables that only look like it."""

from collections.abc import AsyncGenerator

import pytest

from dbops.engine.connect import Connection, Connectors
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.doctor import Diagnosis
from dbops.operations.doctor.answer import Severity
from dbops.results import Status
from tests.conftest import installed_postgresql, new_name
from tests.server.doctored import (
    about,
    configured,
    diagnosed,
    leading_to,
    make_roles,
    session,
    until_true,
)


@pytest.fixture(scope="module", params=["embedded", "installed"])
async def ours(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """Run a writer of our own, to which autovacuum does not come by itself."""
    settings = {"autovacuum_naptime": "1h"}
    pg_bin = installed_postgresql() if request.param == "installed" else None
    async with throwaway(pg_bin=pg_bin, settings=settings, standby=False) as pair:
        await make_roles(pair)
        yield pair


@pytest.fixture
async def shop(ours: Pair) -> AsyncGenerator[Connection]:
    """Return a session in a new database with a schema whose name needs quotes."""
    name = new_name()
    async with session(ours.writer) as admin:
        await admin.execute(f"CREATE DATABASE {name}")
        async with session(ours.writer.with_database(name)) as shop:
            await shop.execute('CREATE SCHEMA "my ""shop"')
            yield shop
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def asked(
    ours: Pair,
    shop: Connection,
    check_id: str,
    *,
    user: str | None = None,
    **limits: str,
) -> Diagnosis:
    # What a session has counted is told to the others when it is idle for long, or now.
    await shop.execute("SELECT pg_stat_force_next_flush(); SELECT 1")
    return await diagnosed(to(ours, shop, user), check_id, **limits)


async def forget(shop: Connection) -> None:
    """Lose what was counted, as a crash, an upgrade or a promotion does."""
    await shop.execute("SELECT pg_stat_force_next_flush()")
    await shop.execute("SELECT pg_stat_reset()")


def to(ours: Pair, shop: Connection, user: str | None = None) -> Connectors:
    database = shop._params.database  # type: ignore[attr-defined] # noqa: SLF001 # asyncpg shows it nowhere else
    return leading_to(ours, user=user, database=database, only_writer=True)


async def make(shop: Connection, name: str, *, rows: int, options: str = "") -> None:
    await shop.execute(
        f"CREATE TABLE {name} (n int, price int) {options};"  # noqa: S608 # ours
        f"INSERT INTO {name} SELECT n, 0 FROM generate_series(1, {rows}) n"
    )


@pytest.mark.parametrize("check_id", ["D25", "D26"])
async def test_a_young_database_is_far_from_wraparound(
    ours: Pair, shop: Connection, check_id: str
) -> None:
    found = await asked(ours, shop, check_id, user="plain")
    assert (found.status, found.findings) == (Status.OK, ())


async def test_every_old_database_is_named_with_its_remedy(
    ours: Pair, shop: Connection
) -> None:
    found = await asked(ours, shop, "D25", user="plain", value="1,2")
    names = {it.object for it in found.findings}
    assert found.status is Status.FAIL
    assert {"postgres", "template0", "template1"} <= names
    assert about(found, "postgres").remedy == "VACUUM"
    assert about(found, "postgres").database == "postgres"
    allow = "ALTER DATABASE template0 ALLOW_CONNECTIONS true"
    assert about(found, "template0").remedy == allow
    (here,) = names & {await shop.fetchval("SELECT current_database()")}
    remedy = about(found, here).remedy or ""
    assert remedy.startswith("VACUUM ")
    assert "." in remedy
    await shop.execute(remedy)


async def test_multixacts_have_an_age_of_their_own(
    ours: Pair, shop: Connection
) -> None:
    await make(shop, "item", rows=1)
    name = shop._params.database  # type: ignore[attr-defined] # noqa: SLF001 # same
    async with session(ours.writer.with_database(name)) as other:
        for _ in range(3):
            for it in other, shop:
                await it.execute("BEGIN; SELECT * FROM item FOR SHARE")
            for it in other, shop:
                await it.execute("COMMIT")
    found = await asked(ours, shop, "D26", value="3,1000000")
    assert about(found, name).severity is Severity.WARN
    assert "multixacts old" in about(found, name).message


async def test_autovacuum_that_is_off_fails(ours: Pair, shop: Connection) -> None:
    for name in "autovacuum", "track_counts":
        async with configured(ours.writer, **{name: "off"}):
            await until_true(shop, f"SELECT current_setting('{name}') = 'off'")
            found = await asked(ours, shop, "D27", user="plain")
        await until_true(shop, f"SELECT current_setting('{name}') = 'on'")
        assert found.status is Status.FAIL
        remedy = about(found, name).remedy
        assert remedy == f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf()"


@pytest.mark.parametrize("value", ["false", "off", "0"])
async def test_a_table_that_autovacuum_leaves_out_is_reported(
    ours: Pair, shop: Connection, value: str
) -> None:
    table = '"my ""shop"."it em"'
    await make(shop, table, rows=10, options=f"WITH (autovacuum_enabled = {value})")
    await make(shop, "other", rows=10, options="WITH (autovacuum_enabled = true)")
    found = await asked(ours, shop, "D27", user="plain")
    finding = about(found, table)
    assert [it.object for it in found.findings] == [table]
    assert finding.severity is Severity.WARN
    assert finding.remedy == f"ALTER TABLE {table} RESET (autovacuum_enabled)"
    await shop.execute(finding.remedy)
    assert (await asked(ours, shop, "D27")).status is Status.OK


async def test_a_toast_table_that_autovacuum_leaves_out_is_reported(
    ours: Pair, shop: Connection
) -> None:
    await shop.execute(
        "CREATE TABLE page (text text) WITH (toast.autovacuum_enabled = false)"
    )
    finding = about(await asked(ours, shop, "D27"), "public.page")
    assert "TOAST" in finding.message
    assert finding.remedy == "ALTER TABLE public.page RESET (toast.autovacuum_enabled)"
    await shop.execute(finding.remedy)
    assert (await asked(ours, shop, "D27")).status is Status.OK


async def test_dead_rows_beyond_twice_the_trigger_are_reported(
    ours: Pair, shop: Connection
) -> None:
    for name in "beyond", "below":
        await make(shop, name, rows=1000)
    await shop.execute("VACUUM")
    # The trigger is 50 + 0.2 * 1000.
    await shop.execute("DELETE FROM beyond WHERE n <= 510")
    await shop.execute("DELETE FROM below WHERE n <= 490")
    found = await asked(ours, shop, "D27", user="plain")
    assert [it.object for it in found.findings] == ["public.beyond"]
    finding = about(found, "public.beyond")
    assert "510 dead rows" in finding.message
    assert "come at 250" in finding.message
    assert finding.remedy == "VACUUM public.beyond"
    await shop.execute(finding.remedy)
    assert (await asked(ours, shop, "D27")).status is Status.OK


async def test_a_tables_own_options_decide(ours: Pair, shop: Connection) -> None:
    patient = "WITH (autovacuum_vacuum_threshold=500, autovacuum_vacuum_scale_factor=0)"
    eager = "WITH (autovacuum_vacuum_threshold=10, autovacuum_vacuum_scale_factor=0)"
    await make(shop, "patient", rows=1000, options=patient)
    await make(shop, "eager", rows=1000, options=eager)
    await shop.execute("VACUUM")
    await shop.execute("DELETE FROM patient WHERE n <= 900")
    await shop.execute("DELETE FROM eager WHERE n <= 30")
    found = await asked(ours, shop, "D27")
    assert [it.object for it in found.findings] == ["public.eager"]


async def test_the_maximum_of_18_is_part_of_the_trigger(
    ours: Pair, shop: Connection
) -> None:
    if shop.get_server_version().major < 18:
        return
    options = "WITH (autovacuum_vacuum_max_threshold = 10)"
    await make(shop, "item", rows=1000, options=options)
    await shop.execute("VACUUM; ")
    await shop.execute("DELETE FROM item WHERE n <= 30")
    found = await asked(ours, shop, "D27")
    assert "come at 10" in about(found, "public.item").message


async def test_temporary_and_partitioned_tables_are_not_autovacuums(
    ours: Pair, shop: Connection
) -> None:
    await make(shop, "pg_temp.passing", rows=1000)
    await shop.execute("CREATE TABLE whole (n int, price int) PARTITION BY RANGE (n)")
    await shop.execute(
        "CREATE TABLE part PARTITION OF whole FOR VALUES FROM (1) TO (2000)"
    )
    await shop.execute("INSERT INTO whole SELECT n, 0 FROM generate_series(1, 1000) n")
    await shop.execute("ANALYZE part")
    await shop.execute("DELETE FROM pg_temp.passing")
    assert not (await asked(ours, shop, "D27")).findings
    found = await asked(ours, shop, "D28")
    assert (found.status, found.findings) == (Status.OK, ())
    assert found.notes == (
        "autovacuum does not analyze partitioned tables: ANALYZE public.whole",
    )
    await shop.execute("ANALYZE whole")
    assert not (await asked(ours, shop, "D28")).notes


async def test_a_table_that_autovacuum_has_just_been_to_changes_fast(
    ours: Pair, shop: Connection
) -> None:
    await make(shop, "queue", rows=200)
    await shop.execute("DELETE FROM queue; SELECT pg_stat_force_next_flush()")
    assert (await asked(ours, shop, "D27")).status is Status.WARN
    async with configured(ours.writer, autovacuum_naptime="1s"):
        await until_true(
            shop,
            "SELECT last_autovacuum IS NOT NULL AND last_autoanalyze IS NOT NULL "
            "FROM pg_stat_user_tables WHERE relname = 'queue'",
        )
    await until_true(shop, "SELECT current_setting('autovacuum_naptime') = '1h'")
    await shop.execute(
        "INSERT INTO queue SELECT n, 0 FROM generate_series(1, 1000) n; "
        "DELETE FROM queue"
    )
    found = await asked(ours, shop, "D27")
    assert (found.status, found.findings) == (Status.OK, ())
    assert found.notes[0].startswith("public.queue has 1000 dead rows; autovacuum was")
    assert (await asked(ours, shop, "D28")).status is Status.OK


async def test_a_table_that_was_never_analyzed_is_reported(
    ours: Pair, shop: Connection
) -> None:
    table = '"my ""shop"."it em"'
    await make(shop, table, rows=1000)
    await make(shop, "empty", rows=0)
    # Autovacuum itself would not come for so few.
    await make(shop, "few", rows=10)
    await make(shop, "emptied", rows=1000)
    await shop.execute("DELETE FROM emptied")
    found = await asked(ours, shop, "D28", user="plain")
    assert [it.object for it in found.findings] == [table]
    finding = about(found, table)
    assert finding.message == "it has 1000 rows and has never been analyzed"
    assert finding.remedy == f"ANALYZE {table}"
    await shop.execute(finding.remedy)
    assert (await asked(ours, shop, "D28")).status is Status.OK


async def test_old_statistics_are_reported(ours: Pair, shop: Connection) -> None:
    for name in "beyond", "below":
        await make(shop, name, rows=1000)
    await shop.execute("ANALYZE")
    # The trigger is 50 + 0.1 * 1000.
    await shop.execute("UPDATE beyond SET price = 1 WHERE n <= 310")
    await shop.execute("UPDATE below SET price = 1 WHERE n <= 290")
    found = await asked(ours, shop, "D28", user="plain")
    assert [it.object for it in found.findings] == ["public.beyond"]
    finding = about(found, "public.beyond")
    assert "310 rows have changed" in finding.message
    assert "due at 150" in finding.message
    await shop.execute(finding.remedy or "")
    assert (await asked(ours, shop, "D28")).status is Status.OK


async def test_lost_counters_are_not_lost_statistics(
    ours: Pair, shop: Connection
) -> None:
    for name in "analyzed", "indexed", "loaded":
        await make(shop, name, rows=20_000)
    await shop.execute("ANALYZE analyzed")
    # It counts the rows, and nothing else about them.
    await shop.execute("CREATE INDEX ON indexed (n)")
    await forget(shop)
    found = await asked(ours, shop, "D28")
    assert found.status is Status.WARN
    assert {it.object for it in found.findings} == {"public.indexed", "public.loaded"}
    # Who may not read the tables cannot tell these two apart.
    hidden = await asked(ours, shop, "D28", user="plain")
    assert hidden.status is Status.UNKNOWN
    assert about(hidden, "public.loaded").severity is Severity.WARN
    for name in "analyzed", "indexed":
        finding = about(hidden, f"public.{name}")
        assert finding.severity is Severity.UNKNOWN
        assert finding.remedy == f"GRANT SELECT ON public.{name} TO plain"
        await shop.execute(finding.remedy)
    seen = await asked(ours, shop, "D28", user="plain")
    assert {it.object for it in seen.findings} == {"public.indexed", "public.loaded"}


async def test_a_locked_table_keeps_nobody_waiting(
    ours: Pair, shop: Connection
) -> None:
    await make(shop, "item", rows=20_000)
    await forget(shop)
    await shop.execute("BEGIN; LOCK TABLE item")
    for check_id in "D25", "D26", "D27", "D28":
        found = await diagnosed(to(ours, shop), check_id)
        assert found.status is Status.OK
    await shop.execute("ROLLBACK")
    assert (await asked(ours, shop, "D28")).status is Status.WARN


async def test_a_materialized_view_is_a_table_too(ours: Pair, shop: Connection) -> None:
    await make(shop, "item", rows=1000)
    await shop.execute("CREATE MATERIALIZED VIEW seen AS SELECT * FROM item")
    found = await asked(ours, shop, "D28")
    assert {it.object for it in found.findings} == {"public.item", "public.seen"}
    for finding in found.findings:
        await shop.execute(finding.remedy or "")
    assert (await asked(ours, shop, "D28")).status is Status.OK


async def test_what_was_analyzed_in_one_breath_with_its_rows_is_no_finding(
    ours: Pair, shop: Connection
) -> None:
    # The server hears of the rows after it has heard of the ANALYZE.
    await make(shop, "twice", rows=1000)
    await shop.execute("SELECT pg_stat_force_next_flush()")
    await make(shop, "once", rows=1000)
    await shop.execute("INSERT INTO twice SELECT n, 0 FROM generate_series(1, 1000) n")
    await shop.execute("ANALYZE once, twice")
    found = await asked(ours, shop, "D28")
    assert (found.status, found.findings) == (Status.OK, ())
    await shop.execute("INSERT INTO twice SELECT n, 0 FROM generate_series(1, 1000) n")
    found = await asked(ours, shop, "D28")
    assert [it.object for it in found.findings] == ["public.twice"]
