"""PgBouncer in transaction mode: what works, and what is refused in plain words."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from dbops.credentials import Credentials
from dbops.endpoint import Address, Endpoint
from dbops.engine.connect import Connection, ConnectOptions, Connector, Connectors
from dbops.engine.database import Database
from dbops.errors import CredentialsError, DbopsError, RefusedError, UnreachableError
from dbops.local.state import Pair
from dbops.settings import load_settings
from tests.conftest import missing, until_reachable
from tests.faults.conftest import password
from tests.faults.proxy import HOST

LIMIT_S = 3.0
INI = """
[databases]
nowhere = host=127.0.0.1 port=1 dbname=postgres
* = host={host} port={port}
[pgbouncer]
listen_addr = {host}
listen_port = {own_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 2
server_login_retry = 1
query_wait_timeout = 2
"""


@pytest.fixture(scope="module")
async def pooler(pair: Pair) -> AsyncGenerator[Endpoint]:
    """PgBouncer before the writer."""
    with running(pair.writer) as endpoint:
        await until_reachable(endpoint, limit_s=10)
        yield endpoint


@contextmanager
def running(server: Endpoint, *, ini: str = INI) -> Generator[Endpoint]:
    """Run PgBouncer; like PostgreSQL, it refuses to be root."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        missing("pgbouncer")
    with socket.create_server((HOST, 0)) as listener:
        own_port = listener.getsockname()[1]
    place = server.addresses[0]
    account = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="dbops-pgbouncer-") as name:
        folder = Path(name)
        (folder / "pgbouncer.ini").write_text(
            ini.format(
                host=place.host, port=place.port, own_port=own_port, folder=folder
            )
        )
        (folder / "users.txt").write_text(f'"dbops" "{password(server)}"\n')
        if account is not None:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, account)
        with subprocess.Popen(
            [str(program), "-q", str(folder / "pgbouncer.ini")],
            user=account,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield replace(server, addresses=(Address(HOST, own_port),))
            finally:
                process.kill()


def reach(endpoint: Endpoint, **settings: str) -> Connector:
    options = ConnectOptions(
        connect_timeout_s=LIMIT_S, command_timeout_s=LIMIT_S, server_settings=settings
    )
    return Connector(Credentials.known(endpoint), options)


async def pid_of(connection: Connection) -> int:
    pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid


async def fault_of(connector: Connector) -> DbopsError:
    with pytest.raises(DbopsError) as caught:
        await connector()
    assert caught.value.message.isprintable()
    return caught.value


async def test_connecting_works_with_the_default_options(pooler: Endpoint) -> None:
    settings = load_settings(flags={"database_url": pooler.url(show_password=True)})
    async with Connectors(settings).connector("writer").session() as connection:
        assert await pid_of(connection) != connection.get_server_pid()


async def test_what_one_client_has_prepared_does_not_disturb_the_next(
    pooler: Endpoint,
) -> None:
    """Statements with names stay on the server's connection when their client goes."""
    for _ in range(4):
        async with reach(pooler).session() as connection:
            for number in range(3):
                assert await connection.fetchval("SELECT $1::int", number) == number
            names = await connection.fetchval(
                "SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"
            )
            assert names == 0


async def test_a_start_up_parameter_is_refused_and_says_where_to_go(
    pooler: Endpoint,
) -> None:
    error = await fault_of(reach(pooler, statement_timeout="5s"))
    assert (type(error), error.phase, error.sqlstate) == (RefusedError, "auth", "08P01")
    assert "statement_timeout" in error.message
    assert "DATABASE_MIGRATION_URL" in (error.hint or "")
    error = await fault_of(reach(replace(pooler, options="-c work_mem=1MB")))
    assert type(error) is RefusedError


async def test_a_missing_database_is_refused(pooler: Endpoint) -> None:
    error = await fault_of(reach(pooler.with_database("not_there")))
    assert (type(error), error.phase) == (RefusedError, "auth")
    assert "'not_there' does not exist" in error.message


@pytest.mark.parametrize("user", ["dbops", "nobody_here"])
async def test_wrong_credentials_are_told_as_that(pooler: Endpoint, user: str) -> None:
    wrong = replace(pooler, user=user, password=SecretStr("wrong"))
    error = await fault_of(reach(wrong))
    assert (type(error), error.phase) == (CredentialsError, "auth")


async def test_a_server_that_is_away_behind_it_is_unreachable(pooler: Endpoint) -> None:
    error = await fault_of(reach(pooler.with_database("nowhere")))
    assert (type(error), error.phase) == (UnreachableError, "auth")


async def test_a_statement_is_cancelled_through_it(
    pair: Pair, pooler: Endpoint
) -> None:
    sleeping = reach(pooler)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), sleeping.session() as connection:
            await connection.execute("SELECT pg_sleep(30) /* behind it */")
    async with reach(pair.writer).session() as admin, asyncio.timeout(1):
        while await admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE query LIKE '%behind it%' AND state = 'active'"
            " AND pid <> pg_backend_pid()"
        ):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
async def test_engines_work_through_it(pooler: Endpoint, scheme: str) -> None:
    url = pooler.url(show_password=True).replace("postgresql", scheme, 1)
    settings = load_settings(flags={"database_url": url})

    async def use(database: Database, number: int) -> None:
        async with database.writer() as session:
            # Often enough for each driver to give it a name, if it may.
            for _ in range(8):
                found = await session.scalar(
                    text("SELECT CAST(:x AS int)"), {"x": number}
                )
                assert found == number
                await session.commit()

    async with Database(settings) as first, Database(settings) as second:
        await asyncio.gather(
            *(use(database, n) for n in range(5) for database in (first, second))
        )
