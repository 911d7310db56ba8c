"""create-tables, against a real server."""

import asyncio

import pytest
from sqlalchemy import Column, Enum, ForeignKey, Integer, MetaData, Table, text

from dbops.engine.connect import connect
from dbops.engine.ddl import ddl_connection
from dbops.errors import DbopsError, LockedError, RefusedError, UsageError
from dbops.operations.create_tables import create_tables, load_metadata, planned_tables
from tests.conftest import Served


def shop() -> MetaData:
    metadata = MetaData()
    Table("customers", metadata, Column("id", Integer, primary_key=True))
    Table(
        "orders",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("customer_id", ForeignKey("customers.id")),
        Column("state", Enum("new", "paid", name="order_state")),
    )
    return metadata


async def test_missing_tables_are_created_and_existing_ones_are_listed(
    served: Served,
) -> None:
    first = await create_tables(served.connectors(), shop())
    second = await create_tables(served.connectors(), shop())
    assert (first.created, first.existing) == (("customers", "orders"), ())
    assert (second.created, second.existing) == ((), ("customers", "orders"))


async def test_ten_at_once_create_each_table_once(served: Served) -> None:
    results = await asyncio.gather(
        *(create_tables(served.connectors(), shop()) for _ in range(10))
    )
    assert [r.created for r in results].count(("customers", "orders")) == 1
    assert [r.existing for r in results].count(("customers", "orders")) == 9


async def test_a_table_that_somebody_holds_is_waited_for_in_vain(
    served: Served,
) -> None:
    holder = await connect(served.writer)
    await holder.execute("CREATE TABLE customers (id int PRIMARY KEY)")
    async with holder.transaction():
        await holder.execute("LOCK customers")
        with pytest.raises(LockedError) as raised:
            await create_tables(served.connectors(ddl_lock_timeout="100ms"), shop())
    assert raised.value.sqlstate == "55P03"
    assert await holder.fetchval("SELECT to_regclass('orders')") is None
    await holder.close()


async def test_a_definition_that_the_server_refuses_leaves_nothing(
    served: Served,
) -> None:
    metadata = shop()
    Table("bad", metadata, Column("id", Integer, server_default=text("no_such()")))
    with pytest.raises(DbopsError, match="no_such"):
        await create_tables(served.connectors(), metadata)
    connection = await connect(served.writer)
    assert await connection.fetchval("SELECT to_regclass('customers')") is None
    await connection.close()


async def test_a_dry_run_prints_ddl_and_changes_nothing(served: Served) -> None:
    planned = await planned_tables(served.connectors(), shop())
    assert planned.created == ("customers", "orders")
    assert any("CREATE TABLE orders" in statement for statement in planned.ddl)
    async with ddl_connection(served.connectors().connector("writer")) as connection:
        found = await connection.scalar(text("SELECT to_regclass('customers')"))
    assert found is None


async def test_a_standby_is_refused(served: Served) -> None:
    reader = served.environment["DATABASE_READER_URL"]
    with pytest.raises(RefusedError):
        await create_tables(served.connectors(database_url=reader), shop())


@pytest.mark.parametrize(
    "where",
    ["", "json", "json:", ":x", "no_such_module:Base", "json:nothing", "json:dumps"],
)
def test_what_holds_no_tables_is_a_usage_error(where: str) -> None:
    with pytest.raises(UsageError):
        load_metadata(where)
