"""What a migration may leave half-built, on a real server, seen by anybody."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from dbops.endpoint import parse_url
from dbops.engine.connect import connect
from dbops.engine.ddl import ddl_connection
from dbops.operations.migrate.proof import (
    incomplete_indexes,
    invalid_indexes,
    not_valid_constraints,
)
from tests.conftest import Served, missing, new_name

T = TypeVar("T")


async def asked(served: Served, question: Callable[[Connection], T]) -> T:
    """Put a question the way that a migration does."""
    async with ddl_connection(served.connectors().connector("migration")) as lent:
        return await lent.run_sync(question)


async def run(served: Served, *statements: str) -> None:
    """Execute each statement outside of a transaction; one may fail."""
    connection = await connect(served.writer)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def leave_invalid(served: Served, index: str, table: str) -> None:
    """Fail a concurrent build: two rows are the same."""
    await run(
        served,
        f"CREATE TABLE {table} (n int)",
        f"INSERT INTO {table} VALUES (1), (1)",  # noqa: S608 # our own name
    )
    with pytest.raises(Exception, match="could not create unique index"):
        await run(served, f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON {table} (n)")


async def test_a_failed_concurrent_build_is_named_and_its_remedy_mends_it(
    served: Served,
) -> None:
    await run(served, 'CREATE SCHEMA "My shop"')
    await leave_invalid(served, '"By n"', '"My shop".items')
    (found,) = await asked(served, invalid_indexes)
    assert found.name == '"My shop"."By n"'
    assert found.table == '"My shop".items'
    assert found.remedy == f"REINDEX INDEX CONCURRENTLY {found.name}"
    await run(served, 'TRUNCATE "My shop".items', found.remedy)
    assert await asked(served, invalid_indexes) == ()


async def test_the_leftover_of_a_failed_reindex_is_to_be_dropped(
    served: Served,
) -> None:
    await leave_invalid(served, "by_n", "items")
    with pytest.raises(Exception, match="could not create unique index"):
        await run(served, "REINDEX INDEX CONCURRENTLY by_n")
    leftover = (await asked(served, invalid_indexes))[1]
    assert leftover.remedy == "DROP INDEX CONCURRENTLY public.by_n_ccnew"
    await run(served, leftover.remedy)
    assert [i.name for i in await asked(served, invalid_indexes)] == ["public.by_n"]


@asynccontextmanager
async def building(served: Served, statement: str) -> AsyncGenerator[None]:
    """Hold a concurrent build up half-way, with a writer that does not end."""
    # Three: what a transaction has read of the progress, it reads again and again.
    writer, builder, watcher = [await connect(served.writer) for _ in range(3)]
    await writer.execute("BEGIN; INSERT INTO items VALUES (7)")
    build = asyncio.ensure_future(builder.execute(statement))
    under_way = "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = $1"
    async with asyncio.timeout(30):
        while not await watcher.fetchval(
            f"{under_way} AND phase LIKE 'waiting%'", served.name
        ):
            await asyncio.sleep(0.02)
    try:
        yield
    finally:
        await writer.close()
        await build
        await builder.close()
        await watcher.close()


@asynccontextmanager
async def stranger(served: Served) -> AsyncGenerator[Served]:
    """A role that sees nobody else's progress, and may read no table."""
    role = new_name("stranger")
    await run(served, f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    address = served.writer.addresses[0]
    theirs = parse_url(f"postgresql://{role}:x@{address}/{served.name}")
    yield replace(served, writer=theirs)
    await run(served, f"DROP ROLE {role}")


@pytest.mark.parametrize(
    "build",
    [
        "CREATE INDEX CONCURRENTLY new ON items (m)",
        "REINDEX INDEX CONCURRENTLY ready",
        "REINDEX TABLE CONCURRENTLY items",
    ],
)
async def test_what_is_being_built_is_not_called_invalid_and_what_was_left_is(
    served: Served, build: str
) -> None:
    await leave_invalid(served, "stale", "items")
    await run(
        served,
        "ALTER TABLE items ADD m int",
        "CREATE INDEX ready ON items (m)",
        "CREATE INDEX ready_too ON items (m)",
    )
    async with building(served, build), stranger(served) as other:
        for whoever in (served, other):
            found = await asked(whoever, invalid_indexes)
            assert [index.name for index in found] == ["public.stale"]
    found = await asked(served, invalid_indexes)
    assert [index.name for index in found] == ["public.stale"]


async def test_an_index_that_waits_for_its_partitions_is_incomplete_not_invalid(
    served: Served,
) -> None:
    await run(
        served,
        "CREATE TABLE visits (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (0) TO (9)",
        "CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM (9) TO (99)",
        "CREATE INDEX by_n ON ONLY visits (n)",
        "CREATE INDEX CONCURRENTLY by_n_1 ON visits_1 (n)",
        "ALTER INDEX by_n ATTACH PARTITION by_n_1",
    )
    assert await asked(served, invalid_indexes) == ()
    (found,) = await asked(served, incomplete_indexes)
    assert found.name == "public.by_n"
    assert found.remedy == (
        "build it on public.visits_2, then ALTER INDEX public.by_n ATTACH PARTITION "
        "for each"
    )
    await run(
        served,
        "CREATE INDEX by_n_2 ON visits_2 (n)",
        "ALTER INDEX by_n ATTACH PARTITION by_n_2",
    )
    assert await asked(served, incomplete_indexes) == ()


async def test_constraints_that_were_never_proved_are_named_with_their_remedy(
    served: Served,
) -> None:
    await run(
        served,
        "CREATE TABLE shelves (id int PRIMARY KEY)",
        'CREATE TABLE "Books" (shelf int, pages int)',
        "CREATE DOMAIN isbn AS text",
        'ALTER TABLE "Books" ADD CONSTRAINT "On shelf" FOREIGN KEY (shelf) '
        "REFERENCES shelves NOT VALID",
        'ALTER TABLE "Books" ADD CONSTRAINT few CHECK (pages > 0) NOT VALID',
        "ALTER DOMAIN isbn ADD CONSTRAINT long CHECK (length(VALUE) > 9) NOT VALID",
        'ALTER TABLE "Books" ADD CONSTRAINT proved CHECK (pages > 0)',
    )
    found = await asked(served, not_valid_constraints)
    assert [c.remedy for c in found] == [
        'ALTER TABLE public."Books" VALIDATE CONSTRAINT "On shelf"',
        'ALTER TABLE public."Books" VALIDATE CONSTRAINT few',
        "ALTER DOMAIN public.isbn VALIDATE CONSTRAINT long",
    ]
    assert (found[0].name, found[0].table) == ('"On shelf"', 'public."Books"')
    await run(served, *(c.remedy for c in found))
    assert await asked(served, not_valid_constraints) == ()


async def test_what_a_parent_proves_is_not_listed_for_each_partition(
    served: Served,
) -> None:
    await run(
        served,
        "CREATE TABLE visits (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (0) TO (9)",
        "ALTER TABLE visits ADD CONSTRAINT few CHECK (n < 9) NOT VALID",
    )
    (found,) = await asked(served, not_valid_constraints)
    assert found.table == "public.visits"
    await run(served, found.remedy)
    assert await asked(served, not_valid_constraints) == ()


async def test_a_constraint_that_is_not_enforced_cannot_be_proved(
    served: Served,
) -> None:
    connection = await connect(served.writer)
    version = connection.get_server_version().major
    await connection.close()
    if version < 18:
        missing("PostgreSQL 18")
    await run(
        served,
        "CREATE TABLE books (pages int CONSTRAINT few CHECK (pages > 0) NOT ENFORCED)",
    )
    assert await asked(served, not_valid_constraints) == ()


async def test_a_stranger_may_ask(served: Served) -> None:
    await leave_invalid(served, "stale", "items")
    async with stranger(served) as other:
        assert len(await asked(other, invalid_indexes)) == 1
        assert await asked(other, incomplete_indexes) == ()
        assert await asked(other, not_valid_constraints) == ()
