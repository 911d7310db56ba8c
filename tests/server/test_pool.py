"""pool, against a real writer and standby."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest
from pydantic import SecretStr

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, connect
from dbops.errors import UnreachableError, UsageError
from dbops.operations.pool import Pool, pool
from dbops.operations.pool.server import ServerConnections
from dbops.results import Status
from tests.conftest import Served, new_name
from tests.faults.conftest import password


async def asked(served: Served, **flags: object) -> Pool:
    connectors = served.connectors(**flags)
    return await pool(connectors.connector("writer"), connectors.settings)


@asynccontextmanager
async def held(endpoint: Endpoint, number: int, name: str) -> AsyncGenerator[None]:
    """Hold some connections."""
    async with AsyncExitStack() as stack:
        for _ in range(number):
            connection = await connect(endpoint, application_name=name)
            stack.push_async_callback(connection.close)
        yield


@asynccontextmanager
async def plain_role(served: Served, options: str = "") -> AsyncGenerator[Endpoint]:
    """Make a role that may only log in, and say how it does."""
    name = new_name("plain")
    admin = await connect(served.writer)
    try:
        await admin.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'plain' {options}")
        yield replace(served.writer, user=name, password=SecretStr("plain"))
    finally:
        await admin.execute(f'DROP ROLE "{name}"')
        await admin.close()


async def gone(served: Served, role: Endpoint) -> None:
    """Wait until no session of a role is left."""
    admin = await connect(served.writer)
    async with asyncio.timeout(20):
        while await admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", role.user
        ):
            await asyncio.sleep(0.02)
    await admin.close()


def by_application(found: ServerConnections, name: str) -> dict[str, int]:
    return {
        it.state: it.connections
        for it in found.by_application
        if it.application == name
    }


async def test_who_holds_connections_is_counted_on_both_servers(served: Served) -> None:
    before = await asked(served)
    async with held(served.writer, 3, "held"), held(served.reader, 2, "read"):
        found = await asked(served)
    assert by_application(found.server, "held") == {"idle": 3}
    assert found.server.in_use >= before.server.in_use + 3
    assert found.server.requires is None
    assert found.reader is not None
    assert by_application(found.reader, "read") == {"idle": 2}
    assert (found.server.is_standby, found.reader.is_standby) == (False, True)
    assert by_application(found.server, "read") == {}


async def test_what_is_reserved_is_not_usable(served: Served) -> None:
    admin = await connect(served.writer)
    reserved = await admin.fetchval(
        "SELECT current_setting('superuser_reserved_connections')::int"
        " + current_setting('reserved_connections')::int"
    )
    await admin.close()
    found = (await asked(served)).server
    assert found.reserved == reserved
    assert found.usable == found.max_connections - reserved
    assert "max_connections" in found.bound_by


async def test_a_sender_of_wal_is_no_client(served: Served) -> None:
    """It has a slot of its own, for all roles: the standby's, and a logical one."""
    place = served.writer.addresses[0]
    async with plain_role(served, "REPLICATION") as role, plain_role(served) as other:
        sender = await asyncpg.connect(
            host=place.host, port=place.port, user=role.user, password="plain",
            database=served.name,
            server_settings={"replication": "database", "application_name": "sender"},
        )  # fmt: skip
        try:
            # Its kind is hidden from the last of these.
            for url in (served.writer, role, other):
                flags = {"database_url": url.url(show_password=True)}
                found = (await asked(served, **flags)).server
                assert by_application(found, "sender") == {}
        finally:
            await sender.close()


async def test_a_role_without_privileges_counts_everybody_and_says_what_it_cannot_see(
    served: Served,
) -> None:
    async with plain_role(served) as role, held(served.writer, 3, "held"):
        url = {"database_url": role.url(show_password=True)}
        found = (await asked(served, **url)).server
        everything = (await asked(served)).server
    assert found.in_use >= everything.in_use
    assert by_application(found, "held") == {"unknown": 3}
    assert found.requires == f"GRANT pg_read_all_stats TO {role.user}"
    assert found.requires in found.summary
    assert everything.requires is None


async def test_the_least_limit_is_usable_and_is_named(served: Served) -> None:
    admin = await connect(served.writer)
    async with plain_role(served, "CONNECTION LIMIT 7") as role:
        url = {"database_url": role.url(show_password=True)}
        found = (await asked(served, **url)).server
        assert (found.usable, found.bound_by) == (
            7,
            f"the limit of the role {role.user}",
        )
        await admin.execute(f'ALTER DATABASE "{served.name}" CONNECTION LIMIT 6')
        found = (await asked(served, **url)).server
        assert found.usable == 6
        assert found.bound_by == f"the limit of the database {served.name}"
        assert [it.connections for it in found.limits[:2]] == [6, 7]
        assert len(found.limits) == 3
    await admin.close()


async def test_a_nearly_reached_limit_warns_although_the_server_is_empty(
    served: Served,
) -> None:
    admin = await connect(served.writer)
    await admin.execute(f'ALTER DATABASE "{served.name}" CONNECTION LIMIT 20')
    await admin.close()
    async with held(served.writer, 15, "held"), asyncio.timeout(20):
        # The last connection of somebody else's may still be ending.
        while (found := await asked(served)).server.limits[0].in_use != 16:
            await asyncio.sleep(0.05)
    assert found.status is Status.WARN
    assert "16 of 20 connections are in use (the limit of the database" in (
        found.server.summary
    )


async def test_a_reached_limit_of_a_role_fails_and_then_shuts_out(
    served: Served,
) -> None:
    async with plain_role(served, "CONNECTION LIMIT 4") as role:
        url = {"database_url": role.url(show_password=True)}
        async with held(role, 3, "held"):
            found = await asked(served, **url)
        assert found.status is Status.FAIL
        assert "4 of 4 connections are in use (the limit of the role" in found.summary
        await gone(served, role)
        async with held(role, 4, "held"):
            with pytest.raises(UnreachableError) as caught:
                await asked(served, **url)
            assert caught.value.sqlstate == "53300"
            assert "takes no more connections" in caught.value.message


async def test_a_superuser_is_held_to_no_limit_of_its_own(served: Served) -> None:
    admin = await connect(served.writer)
    async with plain_role(served, "SUPERUSER CONNECTION LIMIT 1") as role:
        found = (await asked(served, database_url=role.url(show_password=True))).server
    await admin.close()
    assert found.usable == found.max_connections - found.reserved
    assert "is a superuser" in found.notes[0]


async def test_a_fleet_that_does_not_fit_fails_and_says_how_many_would(
    served: Served,
) -> None:
    fits = await asked(served, replicas="4", surge="25%")
    assert (fits.budget.fits, fits.status) == (True, Status.OK)
    most = fits.budget.max_replicas
    assert most is not None
    assert (await asked(served, replicas=str(most))).budget.fits
    found = await asked(served, replicas=str(most + 1))
    assert (found.budget.fits, found.status) == (False, Status.FAIL)
    assert found.budget.max_replicas == most
    assert found.budget.reader is not None
    assert found.summary.startswith("the pools do not fit: ")


async def test_a_pool_larger_than_the_server_does_not_fit(served: Served) -> None:
    found = await asked(served, pool_size=1000, max_overflow=0)
    assert (found.budget.fits, found.budget.max_replicas) == (False, 0)
    assert found.status is Status.FAIL


async def test_a_pool_without_limit_never_fits(served: Served) -> None:
    for unlimited in ({"pool_size": 0}, {"max_overflow": -1}):
        found = await asked(served, **unlimited)
        assert found.status is Status.WARN
        assert found.engines[0].most is None
        assert (found.budget.fits, found.budget.demand) == (False, None)
        assert found.budget.max_replicas is None


async def test_a_reader_that_is_the_writer_gets_both_pools(served: Served) -> None:
    found = await asked(served, database_reader_url=served.environment["DATABASE_URL"])
    assert found.reader is not None
    assert found.budget.reader is None
    assert found.budget.demand == 30


async def test_without_a_reader_there_is_none(served: Served) -> None:
    found = await asked(served, database_reader_url=None)
    assert (found.reader, found.budget.reader, len(found.engines)) == (None, None, 1)
    assert {it.id for it in found.checked()} == {"budget", "writer"}


async def test_readers_that_were_not_asked_are_not_passed_over_in_silence(
    served: Served,
) -> None:
    place = served.reader.addresses[0]
    both = replace(served.reader, addresses=(place, replace(place, host="localhost")))
    found = await asked(served, database_reader_url=both.url(show_password=True))
    assert found.reader is not None
    assert found.reader.notes[-1].endswith("1 more were not asked")
    assert not found.server.notes[-1].endswith("not asked")


async def test_a_silent_reader_leaves_it_open_whether_the_fleet_fits(
    served: Served,
) -> None:
    nowhere = "postgresql://u:p@127.0.0.1:1/x"
    found = await asked(served, database_reader_url=nowhere, replicas="1")
    assert found.status is Status.UNKNOWN
    assert (found.reader, found.budget.fits, found.budget.max_replicas) == (
        None, False, None,
    )  # fmt: skip
    assert found.problem is not None
    assert found.problem.type == "UnreachableError"
    assert found.summary.startswith("nobody can say whether the pools fit: ")
    # What is too much already does not depend on the reader.
    too_much = await asked(served, database_reader_url=nowhere, replicas="100")
    assert too_much.status is Status.FAIL


async def test_its_numbers_are_known_or_absent(served: Served) -> None:
    found = await asked(served, replicas="2", max_overflow="-1")
    measures = {(it.name, *it.labels.values()): it for it in found.measures()}
    assert measures["pool_connections", "writer"].value == found.server.in_use
    usable = measures["pool_usable", "reader"].value
    assert found.reader is not None
    assert usable == found.reader.usable
    assert measures["pool_demand", "writer"].value is None
    assert measures["pool_max_replicas",].value is None
    states = [it for name, it in measures.items() if name[0].endswith("by_state")]
    assert sum(it.value or 0 for it in states if it.labels["role"] == "writer") == (
        found.server.in_use
    )


async def test_nobody_is_asked_what_makes_no_sense(served: Served) -> None:
    for flags in ({"warn": ("5s",)}, {"surge": ("5s",)}, {"pgbouncer": "many"}):
        with pytest.raises(UsageError):
            await asked(served, database_url="postgresql://127.0.0.1:1/x", **flags)


async def test_hostile_names_are_counted_and_quoted(served: Served) -> None:
    name = 'a"b\n[red]\x1b[31m'
    admin: Connection = await connect(served.writer)
    role = await admin.fetchval("SELECT quote_ident($1)", name)
    await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'plain' CONNECTION LIMIT 9")
    hostile = replace(served.writer, user=name, password=SecretStr("plain"))
    async with held(hostile, 2, name):
        found = (
            await asked(served, database_url=hostile.url(show_password=True))
        ).server
    await admin.execute(f"DROP ROLE {role}")
    await admin.close()
    assert found.requires == f"GRANT pg_read_all_stats TO {role}"
    assert found.bound_by == f"the limit of the role {role}"
    assert max(it.connections for it in found.by_application) >= 2
    assert password(served.writer) not in found.model_dump_json()
