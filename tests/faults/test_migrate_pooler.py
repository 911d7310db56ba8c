"""Migrations and PgBouncer in transaction mode: refused before anything is done."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from dbops.endpoint import Endpoint
from dbops.local.state import Pair
from tests.conftest import Served, until_reachable
from tests.faults.migrators import (
    KINDS,
    VARIANTS,
    asked,
    counted,
    migrator,
    write_project,
)
from tests.faults.test_pgbouncer import running as running_pooler
from tests.revisions import write_revision

LOCKS = """
    SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory'
"""


@pytest.fixture(scope="module")
async def pooler(pair: Pair) -> AsyncGenerator[Endpoint]:
    """PgBouncer before the writer."""
    with running_pooler(pair.writer) as endpoint:
        await until_reachable(endpoint, limit_s=10)
        yield endpoint


def behind(pooler: Endpoint, served: Served) -> dict[str, str]:
    """Return the settings of an application that goes through the pooler."""
    place = pooler.with_database(served.name)
    return {"DATABASE_URL": place.url(show_password=True)}


@pytest.mark.parametrize("names_it", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_pooler_is_refused_before_any_ddl(
    pooler: Endpoint, served: Served, tmp_path: Path, kind: str, *, names_it: bool
) -> None:
    variables = behind(pooler, served)
    # Through dbops' settings, or the alembic.ini of a project that knows its own.
    write_project(tmp_path, kind, variables["DATABASE_URL"] if names_it else None)
    ran = await migrator(tmp_path, served, **variables).ended()
    assert ran.code == 6, ran.out
    assert "pooler" in ran.json["error"]["message"]
    assert "DATABASE_MIGRATION_URL" in ran.json["error"]["hint"]
    assert await asked(served, "SELECT to_regclass('counter')") is None
    assert await asked(served, "SELECT to_regclass('alembic_version')") is None
    assert await asked(served, LOCKS) == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_direct_url_for_migrations_goes_past_the_pooler(
    pooler: Endpoint, served: Served, tmp_path: Path, kind: str
) -> None:
    variables = behind(pooler, served)
    direct = served.writer.url(show_password=True)
    write_project(tmp_path, kind)
    write_revision(tmp_path, "b2", "a1", VARIANTS["transactional data"])
    for applied in (2, 0):
        ran = await migrator(
            tmp_path, served, **variables, DATABASE_MIGRATION_URL=direct
        ).ended()
        assert ran.code == 0, ran.out
        assert len(ran.json["result"]["applied"]) == applied
    assert await counted(served) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_to_do_is_no_reason_to_trust_a_pooler(
    pooler: Endpoint, served: Served, tmp_path: Path, kind: str
) -> None:
    write_project(tmp_path, kind)
    assert (await migrator(tmp_path, served).ended()).code == 0
    ran = await migrator(tmp_path, served, **behind(pooler, served)).ended()
    assert ran.code == 6, ran.out
