"""Ping, against a real writer and standby: who answers, and is it who it should be?"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest
from pydantic import SecretStr

from dbops.endpoint import Address, Endpoint
from dbops.engine.connect import Connection, Connectors, connect
from dbops.errors import Outcome, UsageError
from dbops.limits import amount
from dbops.local.throwaway import throwaway
from dbops.operations.ping import Ping, PingedEndpoint, ping, thresholds
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import RunDbops, Served, new_name


async def asked(
    writer: Endpoint | None,
    reader: Endpoint | None = None,
    *,
    warn: str | None = None,
    fail: str | None = None,
    count: int = 1,
) -> Ping:
    connectors = Connectors(load_settings())
    limits = thresholds([amount(warn)] if warn else [], [amount(fail)] if fail else [])
    asking = {}
    if writer is not None:
        asking["writer"] = connectors.connector_to(writer, role="writer")
    if reader is not None:
        asking["reader"] = connectors.connector_to(reader, role="reader")
    return await ping(asking, limits=limits, count=count, interval_s=0.0)  # type: ignore[arg-type] # both keys are roles


def of(result: Ping, role: str) -> PingedEndpoint:
    return next(it for it in result.endpoints if it.role == role)


@asynccontextmanager
async def on(endpoint: Endpoint) -> AsyncGenerator[Connection]:
    connection = await connect(endpoint)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def ordinary(server: Endpoint) -> AsyncGenerator[Endpoint]:
    """Make a role without privileges for the block."""
    name = new_name("plain")
    async with on(server) as admin:
        await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
        try:
            yield replace(server, user=name, password=SecretStr(name))
        finally:
            await admin.execute(f"DROP ROLE {name}")


async def test_writer_and_reader_answer_with_their_roles(served: Served) -> None:
    result = await asked(served.writer, served.reader)
    writer, reader = result.endpoints
    assert (result.status, result.problem) == (Status.OK, None)
    assert (writer.is_in_recovery, reader.is_in_recovery) == (False, True)
    assert writer.latency_ms is not None
    assert writer.latency_ms.auth is not None
    assert writer.latency_ms.total >= writer.latency_ms.auth > 0
    assert Address(reader.host or "", reader.port or 0) in served.reader.addresses
    assert writer.system_identifier == reader.system_identifier is not None
    assert (writer.note, reader.note) == (None, None)
    assert "writer 127.0.0.1" in result.summary


async def test_a_standby_given_as_the_writer_is_refused(served: Served) -> None:
    result = await asked(served.reader, served.reader)
    assert (of(result, "writer").status, of(result, "reader").status) == (
        Status.FAIL,
        Status.OK,
    )
    assert result.outcome is Outcome.REFUSED
    assert result.summary.startswith("writer: ")


async def test_a_reader_that_is_the_writer_is_a_warning(served: Served) -> None:
    result = await asked(served.writer, served.writer)
    assert (result.status, result.outcome) == (Status.WARN, Outcome.OK)
    assert "the reader is the writer" in (of(result, "reader").note or "")
    alone = await asked(None, served.writer)
    assert alone.status is Status.WARN
    assert "is not known" in (of(alone, "reader").note or "")


async def test_a_reader_that_was_promoted_is_refused() -> None:
    async with throwaway() as pair:
        async with on(pair.reader) as reader:
            await reader.execute("SELECT pg_promote()")
        result = await asked(pair.writer, pair.reader)
    assert (result.status, result.outcome) == (Status.FAIL, Outcome.REFUSED)
    assert "two primaries" in result.summary


async def test_a_reader_of_another_cluster_is_refused(served: Served) -> None:
    async with throwaway(template=False) as other:
        result = await asked(served.writer, other.reader)
    assert (result.status, result.outcome) == (Status.FAIL, Outcome.REFUSED)
    assert "another cluster" in result.summary


async def test_a_writer_that_refuses_writes_fails_and_a_careful_role_only_warns(
    served: Served,
) -> None:
    change = "SET default_transaction_read_only = on"
    async with ordinary(served.writer) as careful, on(served.writer) as admin:
        await admin.execute(f"ALTER ROLE {careful.user} {change}")
        ours = await asked(careful)
        await admin.execute(f"ALTER ROLE {careful.user} RESET ALL")
        assert (await asked(careful)).status is Status.OK
        await admin.execute(f'ALTER DATABASE "{served.name}" {change}')
        everybodys = await asked(careful)
    assert (ours.status, ours.outcome) == (Status.WARN, Outcome.OK)
    assert (everybodys.status, everybodys.outcome) == (Status.FAIL, Outcome.REFUSED)
    assert "refuses writes" in everybodys.summary
    # As a reader it does its work.
    assert (await asked(None, served.writer)).status is Status.OK


async def test_a_cluster_that_may_not_be_known_is_not_called_the_same(
    served: Served,
) -> None:
    function = "FUNCTION pg_catalog.pg_control_system()"
    async with ordinary(served.writer) as plain, on(served.writer) as admin:
        await admin.execute(f"REVOKE EXECUTE ON {function} FROM PUBLIC")
        reader = replace(plain, addresses=served.reader.addresses)
        async with asyncio.timeout(20):
            while not of(result := await asked(plain, reader), "reader").note:
                await asyncio.sleep(0.05)
        await admin.execute(f"GRANT EXECUTE ON {function} TO PUBLIC")
    assert (result.status, of(result, "writer").system_identifier) == (Status.OK, None)
    assert "of one cluster is not known" in (of(result, "reader").note or "")


async def test_aurora_is_asked_for_nothing_that_it_refuses(served: Served) -> None:
    async with on(served.writer) as admin:
        await admin.execute("CREATE FUNCTION aurora_version() RETURNS text RETURN '17'")
        await admin.execute(
            "ALTER FUNCTION pg_catalog.pg_control_system() RENAME TO hidden_one"
        )
        await admin.execute(
            "CREATE FUNCTION pg_catalog.pg_control_system(OUT "
            "pg_control_version int, OUT catalog_version_no int, OUT "
            "system_identifier bigint, OUT pg_control_last_modified timestamptz) "
            "LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''it was called''; END'"
        )
        result = await asked(served.writer)
        with pytest.raises(asyncpg.PostgresError, match="it was called"):
            await admin.fetch("SELECT pg_control_system()")
    assert (result.status, of(result, "writer").system_identifier) == (Status.OK, None)


async def test_a_hostile_search_path_changes_no_answer(served: Served) -> None:
    async with on(served.writer) as admin:
        await admin.execute("CREATE SCHEMA evil")
        await admin.execute(
            "CREATE FUNCTION evil.yes(name, name) RETURNS bool RETURN true;"
            "CREATE FUNCTION evil.pg_is_in_recovery() RETURNS bool RETURN true;"
            "CREATE OPERATOR evil.= (FUNCTION = evil.yes, LEFTARG = name, "
            "RIGHTARG = name)"
        )
        await admin.execute(
            f'ALTER DATABASE "{served.name}" SET search_path = evil, pg_catalog'
        )
    result = await asked(served.writer)
    assert (result.status, of(result, "writer").is_in_recovery) == (Status.OK, False)
    assert of(result, "writer").system_identifier is not None


async def test_many_connections_are_told_by_their_percentiles(served: Served) -> None:
    result = await asked(served.writer, served.reader, count=7)
    for it in result.endpoints:
        assert (it.count, it.failed) == (7, 0)
        assert it.spread_ms is not None
        total, auth = it.spread_ms.total, it.spread_ms.auth
        assert total.min <= total.p50 <= total.p95 <= total.p99
        assert auth is not None
        assert auth.min < total.min
        assert it.spread_ms.tls is None
    assert "7 times" in result.summary
    graded = [it.value for it in result.measures() if it.name == "ping_total"]
    assert graded == [it.spread_ms.total.p95 / 1000 for it in result.endpoints]  # type: ignore[union-attr] # seen above
    assert (await asked(served.writer)).endpoints[0].spread_ms is None


@pytest.mark.parametrize(
    ("warn", "fail", "status"),
    [
        (None, None, Status.OK),
        ("1h", "2h", Status.OK),
        ("1us", None, None),
        ("0.1ms", "1h", Status.WARN),
        ("0.1ms", "0.2ms", Status.FAIL),
    ],
)
async def test_the_total_is_graded(
    served: Served, warn: str | None, fail: str | None, status: Status | None
) -> None:
    if status is None:
        with pytest.raises(ValueError, match="unit"):
            await asked(served.writer, warn=warn, fail=fail)
        return
    result = await asked(served.writer, warn=warn, fail=fail)
    assert result.status is status
    assert result.outcome is (
        Outcome.UNHEALTHY if status is Status.FAIL else Outcome.OK
    )
    assert status is Status.OK or "the limit is" in result.summary


@pytest.mark.parametrize(("warn", "fail"), [("16MB", None), ("2s", "1s")])
def test_limits_of_another_measure_are_refused(warn: str, fail: str | None) -> None:
    with pytest.raises(UsageError):
        thresholds([amount(warn)], [amount(fail)] if fail else [])


async def test_numbers_and_questions_are_told_to_monitoring(served: Served) -> None:
    nowhere = replace(served.reader, addresses=(Address("127.0.0.1", 1),))
    result = await asked(served.writer, nowhere, warn="5s")
    by = {(it.name, *it.labels.values()): it for it in result.measures()}
    assert by["ping_up", "writer"].value == 1
    assert by["ping_up", "reader"].value == 0
    assert by["ping_total", "writer"].warn == 5
    assert (by["ping_total", "writer"].value or 0) > 0
    assert by["ping_total", "reader"].value is None
    assert ("ping_phase", "writer", "auth") in by
    assert ("ping_phase", "writer", "tls") not in by
    assert [(it.id, it.status) for it in result.checked()] == [
        ("ping_writer", Status.OK),
        ("ping_reader", Status.FAIL),
    ]
    assert "nothing listens on 127.0.0.1:1" in result.checked()[1].summary


def test_the_command_takes_its_options(dbops: RunDbops, served: Served) -> None:
    words = ("--count", "3", "--interval", "10ms", "--warn", "0.1ms")
    ran = dbops("ping", "--writer", *words, "--format", "json", env=served.environment)
    (writer,) = ran.json["result"]["endpoints"]
    assert (ran.code, ran.err, writer["status"]) == (0, "", "warn")
    assert writer["count"] == 3
    assert set(writer["spread_ms"]["total"]) == {"min", "p50", "p95", "p99"}
    for wrong in (("--count", "0"), ("--warn", "5"), ("--fail", "1kB")):
        ran = dbops("ping", *wrong, env=served.environment)
        assert (ran.code, ran.out) == (2, "")
        assert "hint: " in ran.err


def test_a_reader_alone_is_asked_alone(dbops: RunDbops, served: Served) -> None:
    env = {"DATABASE_READER_URL": served.environment["DATABASE_READER_URL"]}
    ran = dbops("ping", "--format", "json", env=env)
    assert ran.code == 0
    assert [it["role"] for it in ran.json["result"]["endpoints"]] == ["reader"]
    assert "no writer is configured" in ran.err
