"""pool, against a real server."""

from dbops.engine.connect import connect
from dbops.operations.pool import Pool, pool
from dbops.results import Status
from tests.conftest import Served, new_name


async def test_who_holds_connections_is_counted(served: Served) -> None:
    before = await asked(served)
    held = [await connect(served.writer, application_name="held") for _ in range(3)]
    found = await asked(served)
    for connection in held:
        await connection.close()
    holders = {h.application: h.connections for h in found.server.by_application}
    assert holders["held"] == 3
    assert found.server.in_use >= before.server.in_use + 3
    assert found.server.requires is None


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


async def test_a_pool_without_limit_never_fits(served: Served) -> None:
    for unlimited in ({"pool_size": 0}, {"max_overflow": -1}):
        found = await asked(served, **unlimited)
        assert found.status is Status.WARN
        assert found.engines[0].most is None
        assert (found.budget.fits, found.budget.demand) == (False, None)
        assert found.budget.max_replicas is None


async def test_a_pool_larger_than_the_server_does_not_fit(served: Served) -> None:
    found = await asked(served, pool_size=1000, max_overflow=0)
    assert (found.budget.fits, found.budget.max_replicas) == (False, 0)
    assert found.status is Status.FAIL


async def test_a_role_without_privileges_still_counts_everybody(
    served: Served,
) -> None:
    admin = await connect(served.writer)
    role = new_name("plain")
    await admin.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'plain'")
    held = [await connect(served.writer) for _ in range(3)]
    url = f"postgresql://{role}:plain@{served.writer.addresses[0]}/{served.name}"
    found = await asked(served, database_url=f"{url}?sslmode=disable")
    assert found.server.in_use >= 4
    assert found.server.requires is not None
    assert "GRANT pg_read_all_stats" in found.server.requires
    for connection in held:
        await connection.close()
    await admin.execute(f'DROP ROLE "{role}"')
    await admin.close()


async def asked(served: Served, **flags: object) -> Pool:
    connectors = served.connectors(**flags)
    return await pool(connectors.connector("writer"), connectors.settings)
