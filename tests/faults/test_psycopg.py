"""psycopg, driven by dbops: the same places, the same trust, the same words."""

import asyncio
import logging
import os
import subprocess
import sys
from dataclasses import replace
from traceback import TracebackException

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from dbops.credentials import Credentials
from dbops.endpoint import Address, Driver, Endpoint, SslMode
from dbops.engine.connect import ConnectOptions, Connector
from dbops.engine.database import Database
from dbops.engine.dialling.psycopg_connection import BoundedPsycopg
from dbops.errors import ConfigError, DbopsError
from dbops.local.state import Pair
from dbops.settings import load_settings
from tests.conftest import Served, both_drivers
from tests.faults.conftest import TlsServer
from tests.faults.proxy import deaf, impostor, plain_then, resetting, saying
from tests.faults.test_tls import AMBIENT, MODES


def connector(endpoint: Endpoint, driver: Driver, limit_s: float = 2) -> Connector:
    options = ConnectOptions(connect_timeout_s=limit_s, driver=driver)
    return Connector(Credentials.known(endpoint), options)


async def reached(endpoint: Endpoint, driver: Driver = "psycopg") -> str:
    """Tell how a driver connects: `tls`, `plain` or `no`."""
    try:
        async with connector(endpoint, driver).session() as connection:
            assert isinstance(connection, BoundedPsycopg) == (driver == "psycopg")
            in_use = await connection.fetchval(
                "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            )
    except DbopsError:
        return "no"
    return "tls" if in_use else "plain"


async def fault_of(endpoint: Endpoint, driver: Driver = "psycopg") -> DbopsError:
    with pytest.raises(DbopsError) as caught:
        await connector(endpoint, driver, 0.5)()
    return caught.value


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("root", ["authority", "stranger", None])
async def test_each_mode_trusts_the_same_for_both_drivers(
    tls_server: TlsServer, mode: SslMode, root: str | None
) -> None:
    signer = getattr(tls_server, root) if root else None
    for host in ("localhost", "127.0.0.1"):
        endpoint = tls_server.at(host, sslmode=mode, root=signer)
        assert await reached(endpoint) == await reached(endpoint, "asyncpg")


async def test_the_environment_leads_it_nowhere(
    tls_server: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in AMBIENT.items():
        monkeypatch.setenv(name, value)
    endpoint = tls_server.at(sslmode="verify-full", root=tls_server.authority)
    with pytest.raises(ConfigError, match="PGSERVICE is set"):
        await connector(endpoint, "psycopg")()
    monkeypatch.delenv("PGSERVICE")
    assert await reached(endpoint) == "tls"
    assert (await fault_of(replace(endpoint, password=None))).sqlstate == "28P01"


async def test_failures_are_told_as_by_the_other_driver(pair: Pair) -> None:
    writer = pair.writer
    for wrong in (
        replace(writer, user="nobody"),
        replace(writer, password=SecretStr("wrong")),
        replace(writer, database="missing"),
        replace(writer, sslmode="require"),
        replace(writer, addresses=(Address("127.0.0.1", 1),)),
        replace(writer, addresses=(Address("/nowhere"),)),
        replace(writer, addresses=(Address("name.invalid"),)),
        replace(writer, target_session_attrs="standby"),
    ):
        ours, theirs = await fault_of(wrong), await fault_of(wrong, "asyncpg")
        assert (type(ours), ours.message) == (type(theirs), theirs.message)
        assert (ours.hint, ours.sqlstate) == (theirs.hint, theirs.sqlstate)


async def test_whoever_is_no_server_is_told_in_time(pair: Pair) -> None:
    strangers = (deaf, resetting, saying(b"HTTP/1.1 400\r\n\r\n"), plain_then(b"R\0\0"))
    for stranger in strangers:
        async with impostor(stranger) as address, asyncio.timeout(2):
            error = await fault_of(replace(pair.writer, addresses=(address,)))
        assert str(address) in error.message


async def test_a_socket_is_reached_whatever_the_environment_says(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Address(str(pair.folder / "sockets"), pair.writer.addresses[0].port)
    if not os.access(folder.host, os.X_OK):
        pytest.skip("this account may not look into the socket's folder")
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    endpoint = replace(pair.writer, addresses=(folder,), sslmode="verify-full")
    assert await reached(endpoint) == "plain"


async def test_a_closed_connection_is_gone_from_the_server_too(served: Served) -> None:
    async with connector(served.writer, "asyncpg").session() as admin:
        connection = await connector(served.writer, "psycopg")()
        pid = connection.get_server_pid()
        # Its process tidies up before it ends.
        await connection.execute(
            "DO $$BEGIN FOR n IN 1..200 LOOP"
            " EXECUTE 'CREATE TEMP TABLE t' || n || '()'; END LOOP; END$$"
        )
        await connection.close()
        assert not await admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid
        )


async def test_settings_arrive_whatever_they_hold(served: Served) -> None:
    name = "it's\\ a b"
    endpoint = replace(served.writer, options="-c work_mem=5MB -c lock_timeout=1s")
    options = ConnectOptions(
        application_name=name,
        server_settings={"search_path": f'"{name}", public', "lock_timeout": "2s"},
        driver="psycopg",
    )
    async with Connector(Credentials.known(endpoint), options).session() as connection:
        found = [
            await connection.fetchval(f"SHOW {it}")
            for it in ("application_name", "search_path", "work_mem", "lock_timeout")
        ]
    assert found == [name, f'"{name}", public', "5MB", "2s"]


async def test_without_psycopg_the_error_says_what_to_install(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    url = served.environment["DATABASE_URL"].replace("sql:", "sql+psycopg:")
    async with Database(load_settings(flags={"database_url": url})) as database:
        with pytest.raises(ConfigError, match="psycopg") as caught:
            database.engine("writer")
    assert caught.value.hint == "pip install 'dbops[psycopg]'"


def test_a_program_on_asyncpg_imports_no_psycopg(served: Served) -> None:
    url = served.environment["DATABASE_URL"]
    program = f"""
import asyncio, sys
from sqlalchemy import text
from dbops import Database, load_settings

async def main():
    async with Database(load_settings(flags=dict(database_url={url!r}))) as database:
        async with database.writer() as session:
            await session.execute(text("SELECT 1"))

asyncio.run(main())
assert "asyncpg" in sys.modules and "psycopg" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("driver", ["psycopg"])
async def test_the_reader_uses_the_writers_driver_unless_it_names_one(
    served: Served,
) -> None:
    writer = served.settings().database_url
    for scheme, expected in (("postgresql", True), ("postgresql+asyncpg", False)):
        reader = served.reader.url(show_password=True)
        settings = load_settings(
            flags={
                "database_url": writer and writer.get_secret_value(),
                "database_reader_url": reader.replace("postgresql", scheme, 1),
            }
        )
        async with Database(settings) as database, database.reader() as session:
            raw = await (await session.connection()).get_raw_connection()
            assert isinstance(raw.driver_connection, BoundedPsycopg) == expected


@both_drivers
async def test_the_password_stays_out_of_logs_errors_and_local_variables(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    secret = "hush-hush"
    error = await fault_of(
        replace(served.writer, password=SecretStr(secret)), served.driver
    )
    async with Database(served.settings()) as database:
        for role in ("writer", "reader"):
            database.engine(role).sync_engine.echo = "debug"
        async with database.context() as context:
            await context.writer.execute(text("SELECT 1"))
    asyncio.get_running_loop().set_debug(False)
    shown = TracebackException.from_exception(error, capture_locals=True)
    told = "".join([*shown.format(), repr(error), error.message, str(error.hint)])
    assert served.writer.password is not None
    for hidden in (secret, served.writer.password.get_secret_value()):
        assert hidden not in caplog.text
        assert hidden not in told
