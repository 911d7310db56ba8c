"""create-db and drop-db, against a real server."""

import asyncio

import pytest

from dbops.engine.connect import Connectors, connect
from dbops.errors import DbopsError, RefusedError, UsageError
from dbops.local.state import Pair
from dbops.operations.create_db import create_db
from dbops.operations.drop_db import drop_db
from dbops.results import Status
from tests.conftest import Served, new_name

HOSTILE_NAMES = [
    'quo"te',
    "apo'strophe",
    "x' OR '1'='1",
    "per%cent %s %(x)s",
    "semi;colon--",
    "new\nline",
    "tab\t",
    "esc\x1b[31mred",
    "/?#@:&=",
    "-leading",
    " spaces ",
    "UPPER lower",
    "базы",
    "データベース",
    "🐘🐘",
    "$1 :name {x}",
    "back\\slash",
    "[bold]markup[/bold]",
    "e\u0301 combining",
    "\u202ertl",
    "n" * 63,
    "é" * 31,
]


async def names_on(pair: Pair) -> set[str]:
    connection = await connect(pair.writer)
    try:
        rows = await connection.fetch("SELECT datname FROM pg_catalog.pg_database")
        return {row["datname"] for row in rows}
    finally:
        await connection.close()


async def test_a_missing_database_is_created_and_an_existing_one_is_left_alone(
    pair: Pair, served: Served
) -> None:
    name = new_name("new")
    connectors = served.connectors()
    first = await create_db(connectors, name)
    second = await create_db(connectors, name)
    assert (first.created, second.created) == (True, False)
    assert name in await names_on(pair)
    await drop_db(connectors, name, confirmed=True)
    assert name not in await names_on(pair)


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
async def test_a_name_in_any_script_is_created_as_it_is_written(
    pair: Pair, served: Served, name: str
) -> None:
    connectors = served.connectors()
    before = await names_on(pair)
    assert (await create_db(connectors, name)).created
    assert await names_on(pair) - before == {name}
    again = await connect(pair.writer.with_database(name))
    assert await again.fetchval("SELECT pg_catalog.current_database()") == name
    await again.close()
    assert (await drop_db(connectors, name, confirmed=True)).dropped
    assert await names_on(pair) == before


@pytest.mark.parametrize("name", ["", "n" * 64, "é" * 32, "nul\0", "\ud800"], ids=ascii)
async def test_a_name_that_the_server_would_cut_is_refused_before_any_sql(
    name: str,
) -> None:
    # No settings at all: anything that tried to connect would be a ConfigError.
    from dbops.settings import load_settings

    with pytest.raises(UsageError):
        await create_db(Connectors(load_settings()), name)


async def test_twenty_at_once_create_one(served: Served) -> None:
    name = new_name("race")
    results = await asyncio.gather(
        *(create_db(served.connectors(), name) for _ in range(20))
    )
    assert sorted(result.created for result in results) == [False] * 19 + [True]
    await drop_db(served.connectors(), name, confirmed=True)


async def test_what_differs_is_said(served: Served) -> None:
    result = await create_db(
        served.connectors(),
        served.name,
        owner="pg_monitor",
        encoding="LATIN1",
        locale="de_DE.utf8",
    )
    assert result.status is Status.WARN
    assert {d.name: d.wanted for d in result.differences} == {
        "owner": "pg_monitor",
        "encoding": "LATIN1",
        "locale": "de_DE.utf8",
    }


async def test_the_same_encoding_in_another_spelling_is_no_difference(
    served: Served,
) -> None:
    result = await create_db(served.connectors(), served.name, encoding="utf-8")
    assert result.differences == ()


async def test_owner_encoding_and_extensions_are_honoured(
    pair: Pair, served: Served
) -> None:
    admin = await connect(pair.writer)
    name, owner = new_name("owned"), new_name("role")
    await admin.execute(f'CREATE ROLE "{owner}"')
    try:
        result = await create_db(
            served.connectors(),
            name,
            owner=owner,
            encoding="UTF8",
            extensions=["pg_trgm", "btree_gist"],
        )
        again = await create_db(served.connectors(), name, extensions=["pg_trgm"])
        assert result.extensions == ("pg_trgm", "btree_gist")
        assert again.extensions == ()
        assert (await create_db(served.connectors(), name, owner=owner)).status == "ok"
    finally:
        await drop_db(served.connectors(), name, confirmed=True)
        await admin.execute(f'DROP ROLE "{owner}"')
        await admin.close()


async def test_an_extension_that_is_not_installed_is_refused(served: Served) -> None:
    with pytest.raises(RefusedError, match="not installed"):
        await create_db(served.connectors(), served.name, extensions=["no_such_thing"])


async def test_ten_at_once_create_an_extension_once(served: Served) -> None:
    results = await asyncio.gather(
        *(
            create_db(served.connectors(), served.name, extensions=["pg_trgm"])
            for _ in range(10)
        )
    )
    assert sum(len(result.extensions) for result in results) >= 1


async def test_a_role_without_the_right_to_create_is_refused(
    pair: Pair, served: Served
) -> None:
    admin = await connect(pair.writer)
    role = new_name("plain")
    await admin.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'plain'")
    try:
        with pytest.raises(RefusedError, match="permission") as raised:
            await create_db(
                served.connectors(
                    database_admin_url=f"postgresql://{role}:plain@"
                    f"{pair.writer.addresses[0]}/postgres?sslmode=disable"
                ),
                new_name(),
            )
        assert raised.value.sqlstate == "42501"
    finally:
        await admin.execute(f'DROP ROLE "{role}"')
        await admin.close()


async def test_a_standby_given_as_the_writer_is_refused(served: Served) -> None:
    connectors = served.connectors(
        database_url=served.environment["DATABASE_READER_URL"]
    )
    with pytest.raises(RefusedError, match="read-only") as raised:
        await create_db(connectors, new_name())
    assert raised.value.sqlstate == "25006"


async def test_dropping_wants_a_confirmation(pair: Pair, served: Served) -> None:
    with pytest.raises(RefusedError, match="confirmation"):
        await drop_db(served.connectors(), served.name, confirmed=False)
    assert served.name in await names_on(pair)


async def test_a_protected_target_is_never_dropped(pair: Pair, served: Served) -> None:
    with pytest.raises(RefusedError, match="protected"):
        await drop_db(
            served.connectors(protected=True), served.name, confirmed=True, force=True
        )
    assert served.name in await names_on(pair)


async def test_a_database_in_use_is_dropped_by_force_alone(
    pair: Pair, served: Served
) -> None:
    session = await connect(served.writer)
    with pytest.raises(RefusedError, match="connected"):
        await drop_db(served.connectors(), served.name, confirmed=True)
    assert (
        await drop_db(served.connectors(), served.name, confirmed=True, force=True)
    ).dropped
    assert served.name not in await names_on(pair)
    session.terminate()


async def test_a_session_that_is_about_to_end_is_waited_for(
    pair: Pair, served: Served
) -> None:
    session = await connect(served.writer)
    asyncio.get_running_loop().call_later(0.5, session.terminate)
    assert (await drop_db(served.connectors(), served.name, confirmed=True)).dropped
    assert served.name not in await names_on(pair)


async def test_dropping_what_is_not_there_changes_nothing(served: Served) -> None:
    assert not (await drop_db(served.connectors(), new_name(), confirmed=True)).dropped


async def test_postgres_own_databases_are_not_dropped(served: Served) -> None:
    with pytest.raises(DbopsError, match="belongs to PostgreSQL"):
        await drop_db(served.connectors(), "postgres", confirmed=True, force=True)
