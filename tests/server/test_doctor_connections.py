"""Connections that run out, and those that only look like it."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connectors
from dbops.errors import UnreachableError
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.doctor import Diagnosis, doctor
from dbops.operations.doctor.answer import Severity
from dbops.operations.doctor.catalogue import catalogue
from dbops.operations.doctor.choices import choices
from dbops.operations.pool import Pool, pool
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import installed_postgresql
from tests.server.doctored import about, make_roles, session, until_true

MOST = 20
CHECKS = ("D09", "D10", "D11", "D44")


@pytest.fixture(scope="module", params=["embedded", "installed"])
async def ours(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """A small pair of our own: 18 has a second reserve, 15 has none."""
    settings = {"max_connections": str(MOST)}
    is_installed = request.param == "installed"
    if not is_installed:
        settings["reserved_connections"] = "2"
    pg_bin = installed_postgresql() if is_installed else None
    async with throwaway(pg_bin=pg_bin, settings=settings) as pair:
        await make_roles(pair)
        if not is_installed:
            await run(pair, "CREATE ROLE reserve LOGIN PASSWORD 'reserve'",
                      "GRANT pg_use_reserved_connections TO reserve")  # fmt: skip
        yield pair


def usable(pair: Pair) -> int:
    return MOST - 3 - (2 if pair.server_version.startswith("18") else 0)


def leading_to(pair: Pair, user: str | None = None, **flags: object) -> Connectors:
    urls = {
        "database_url": who(pair.writer, user).url(show_password=True),
        "database_reader_url": who(pair.reader, user).url(show_password=True),
    }
    return Connectors(load_settings(flags={**urls, **flags}))


def who(endpoint: Endpoint, user: str | None) -> Endpoint:
    if user is None:
        return endpoint
    return replace(endpoint, user=user, password=SecretStr(user))


async def diagnosed(
    pair: Pair,
    user: str | None = None,
    limits: tuple[str, ...] = (),
    **flags: object,
) -> dict[str, Diagnosis]:
    chosen = choices(catalogue(), only=CHECKS, limits=limits)
    found = await doctor(leading_to(pair, user, **flags), chosen)
    return {it.id: it for it in found.checks if it.id in CHECKS}


async def pools(pair: Pair, user: str | None = None, **flags: object) -> Pool:
    connectors = leading_to(pair, user, **flags)
    return await pool(connectors.connector("writer"), connectors.settings)


async def run(pair: Pair, *statements: str) -> None:
    async with session(pair.writer) as writer:
        for statement in statements:
            await writer.execute(statement)


@asynccontextmanager
async def holding(endpoint: Endpoint, number: int) -> AsyncGenerator[None]:
    """Hold so many connections, and none besides them, until the block ends."""
    async with AsyncExitStack() as stack:
        last = await stack.enter_async_context(session(endpoint, "crowd"))
        clients = (
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = "
            "'client backend'"
        )
        await until_true(last, f"SELECT ({clients}) = 1")
        for _ in range(number - 1):
            await stack.enter_async_context(session(endpoint, "crowd"))
        yield
    async with session(endpoint) as other:
        await until_true(other, f"SELECT ({clients}) = 1")


@pytest.mark.parametrize("user", [None, "monitor", "plain"])
async def test_a_quiet_server_has_no_findings(ours: Pair, user: str | None) -> None:
    found = await diagnosed(ours, user)
    for it in found.values():
        assert (it.status, it.findings) == (Status.OK, ())
    assert found["D09"].applies
    assert found["D11"].applies
    assert not found["D10"].applies
    assert not found["D44"].applies
    hidden = any("GRANT pg_read_all_stats TO plain" in it for it in found["D09"].notes)
    assert hidden == (user == "plain")


@pytest.mark.parametrize("user", [None, "monitor", "plain"])
async def test_a_crowded_server_is_told_by_everybody(
    ours: Pair, user: str | None
) -> None:
    # Our own connection is the last of these.
    at_warn = -(-8 * usable(ours) // 10)
    async with holding(ours.writer, at_warn - 2):
        assert (await diagnosed(ours, user))["D09"].status is Status.OK
    async with holding(ours.writer, at_warn - 1):
        found = (await diagnosed(ours, user))["D09"]
        finding = about(found, str(ours.writer.addresses[0]))
        assert (found.status, finding.role) == (Status.WARN, "writer")
        assert f"{at_warn} of {usable(ours)} usable" in finding.message
        state = "unknown" if user == "plain" else "idle"
        assert f"{at_warn - 1} {state} of crowd" in finding.message
    # A standby keeps its own, larger max_connections.
    async with holding(ours.reader, 17):
        found = (await diagnosed(ours, user, ("D09=12%,17%",)))["D09"]
        finding = about(found, str(ours.reader.addresses[0]))
        assert (found.status, finding.role) == (Status.FAIL, "reader")
        assert finding.remedy is not None
        async with session(ours.reader) as reader:
            assert len(await reader.fetch(finding.remedy)) >= 17


async def test_a_full_server_is_told_as_full(ours: Pair) -> None:
    async with holding(ours.writer, usable(ours)):
        with pytest.raises(UnreachableError) as caught:
            await pools(ours, "plain")
        assert caught.value.sqlstate == "53300"
        assert "takes no more connections" in caught.value.message
        # The reserve lets a superuser in, who sees that it is full.
        assert (await pools(ours)).status is Status.FAIL


async def test_the_reserve_belongs_to_whom_it_was_given(ours: Pair) -> None:
    if usable(ours) == MOST - 3:
        assert (await pools(ours, "plain")).server.usable == MOST - 3
        rds = "rds.rds_superuser_reserved_connections"
        await run(ours, f"ALTER DATABASE postgres SET {rds} = '2'")
        assert (await pools(ours, "plain")).server.usable == MOST - 5
        await run(ours, f"ALTER DATABASE postgres RESET {rds}")
        return
    assert (await pools(ours, "plain")).server.usable == MOST - 5
    assert (await pools(ours)).server.usable == MOST - 5
    given = (await pools(ours, "reserve")).server
    assert (given.usable, given.reserved, given.reserved_connections) == (
        MOST - 3,
        3,
        2,
    )
    assert "may use reserved_connections" in given.notes[0]
    # Who watches with the reserve still sees when nobody else gets in.
    at_fail = -(-9 * usable(ours) // 10)
    async with holding(ours.writer, at_fail - 1):
        assert (await diagnosed(ours, "reserve"))["D09"].status is Status.FAIL


async def test_a_role_near_its_limit_is_told_and_its_remedy_helps(ours: Pair) -> None:
    name = '"near \'"" limit"'
    await run(ours, f"CREATE ROLE {name} LOGIN PASSWORD 'x' CONNECTION LIMIT 4")
    role = replace(ours.writer, user="near '\" limit", password=SecretStr("x"))
    try:
        async with AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(session(role))
            assert (await diagnosed(ours))["D11"].status is Status.OK
            await stack.enter_async_context(session(role))
            remedy = None
            for user in (None, "monitor", "plain"):
                found = (await diagnosed(ours, user))["D11"]
                finding = about(found, f"role {name}")
                assert (found.status, finding.role) == (Status.FAIL, "writer")
                assert "4 of the 4 connections" in finding.message
                remedy = finding.remedy
            assert remedy == f"ALTER ROLE {name} CONNECTION LIMIT 8"
            await run(ours, remedy)
            assert (await diagnosed(ours))["D11"].status is Status.OK
    finally:
        await run(ours, f"DROP ROLE {name}")


async def test_a_database_near_its_limit_is_told(ours: Pair) -> None:
    await run(ours, "CREATE DATABASE crowded CONNECTION LIMIT 5")
    there = ours.writer.with_database("crowded")
    try:
        async with AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(session(there))
            assert (await diagnosed(ours))["D11"].status is Status.OK
            await stack.enter_async_context(session(there))
            found = (await diagnosed(ours, "plain"))["D11"]
            finding = about(found, "database crowded")
            assert (found.status, finding.severity) == (Status.WARN, Severity.WARN)
    finally:
        await run(ours, "DROP DATABASE crowded WITH (FORCE)")


async def test_limits_that_bind_nobody_are_not_told(ours: Pair) -> None:
    await run(
        ours,
        "CREATE ROLE shut LOGIN CONNECTION LIMIT 0",
        "CREATE ROLE nobody NOLOGIN CONNECTION LIMIT 1",
        "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'boss' CONNECTION LIMIT 1",
        "CREATE DATABASE closed CONNECTION LIMIT 0",
    )
    try:
        async with session(who(ours.writer, "boss")):
            found = (await diagnosed(ours))["D11"]
        assert (found.status, found.findings) == (Status.OK, ())
    finally:
        await run(ours, "DROP ROLE shut, nobody, boss", "DROP DATABASE closed")


async def test_a_fleet_that_does_not_fit_is_told_before_it_is_started(
    ours: Pair,
) -> None:
    small: dict[str, Any] = {"pool_size": "1", "max_overflow": "1", "surge": "0"}
    fits = (await diagnosed(ours, replicas="1", **small))["D10"]
    assert (fits.status, fits.findings) == (Status.OK, ())
    found = (await diagnosed(ours, replicas="60", **small))["D10"]
    assert found.status is Status.FAIL
    for side in ("writer", "reader"):
        finding = about(found, f"fleet on {side}")
        assert "(60 + 0) * 1 * (1 + 1)" in finding.message
        assert finding.role == side
    on_writer = about(found, "fleet on writer").message
    assert f"of {usable(ours)} usable connections" in on_writer
    unlimited = (await diagnosed(ours, replicas="1", max_overflow="-1"))["D10"]
    assert unlimited.status is Status.FAIL
    numbers = (await diagnosed(ours, replicas="99", pgbouncer="2x1"))["D10"]
    assert numbers.status is Status.OK


async def test_a_budget_is_unknown_while_a_server_is_silent(ours: Pair) -> None:
    nowhere = "postgresql://u:p@127.0.0.1:1/x"
    found = await diagnosed(ours, replicas="1", database_reader_url=nowhere)
    assert found["D10"].status is Status.UNKNOWN
    assert "the reader gives no answer" in found["D10"].summary
    silent = f"{nowhere.removesuffix('x')}pgbouncer"
    found = await diagnosed(ours, replicas="1", pgbouncer=silent)
    assert found["D10"].status is found["D44"].status is Status.UNKNOWN
    assert found["D09"].status is Status.OK
