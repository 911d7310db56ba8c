"""PgBouncer's admin console: read as it is, and never trusted to be there."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from pydantic import SecretStr

from dbops.credentials import Credentials
from dbops.endpoint import Endpoint
from dbops.engine.connect import Connector, Connectors, connect
from dbops.engine.simple import simple_rows
from dbops.errors import DbopsError, UnreachableError
from dbops.local.state import Pair
from dbops.operations.doctor import Diagnosis, doctor
from dbops.operations.doctor.catalogue import catalogue
from dbops.operations.doctor.choices import choices
from dbops.operations.pool import Pool, pool
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import until_reachable
from tests.faults.conftest import TlsServer, password
from tests.faults.proxy import deaf, impostor, proxy
from tests.faults.test_pgbouncer import running

INI = """
[databases]
app = host={host} port={port} dbname=postgres pool_size=2 reserve_pool=1
capped = host={host} port={port} dbname=postgres pool_size=9 max_db_connections=4
elsewhere = host=192.0.2.1 port=5432 dbname=postgres pool_size=50
read = host={host} port=READER dbname=postgres pool_size=6
[pgbouncer]
listen_addr = {host}
listen_port = {own_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 20
max_client_conn = 70
query_wait_timeout = 60
admin_users = dbops
"""


@dataclass(frozen=True)
class Pooled:
    """A pair, and PgBouncer before both of it."""

    pair: Pair
    pooler: Endpoint

    @property
    def console(self) -> Endpoint:
        return self.pooler.with_database("pgbouncer")

    def connectors(self, **flags: object) -> Connectors:
        """Return how to reach the servers themselves."""
        places = {
            "database_url": self.pair.writer.url(show_password=True),
            "database_reader_url": self.pair.reader.url(show_password=True),
            "pgbouncer": self.console.url(show_password=True),
        }
        return Connectors(load_settings(flags={**places, **flags}))

    async def asked(self, **flags: object) -> Pool:
        connectors = self.connectors(**flags)
        return await pool(connectors.connector("writer"), connectors.settings)

    async def diagnosed(self, check: str, limit: str, **flags: object) -> Diagnosis:
        chosen = choices(catalogue(), only=[check], limits=[f"{check}={limit}"])
        found = await doctor(self.connectors(**flags), chosen)
        return next(it for it in found.checks if it.id == check)


@pytest.fixture(scope="module")
async def pooled(pair: Pair) -> AsyncGenerator[Pooled]:
    """PgBouncer before writer and reader."""
    ini = INI.replace("READER", str(pair.reader.addresses[0].port))
    with running(pair.writer, ini=ini) as pooler:
        await until_reachable(pooler.with_database("app"), limit_s=10)
        yield Pooled(pair, pooler)


@asynccontextmanager
async def crowd(pooled: Pooled, number: int) -> AsyncGenerator[None]:
    """Let so many clients hold a transaction, or wait for a connection to do so."""
    there = pooled.pooler.with_database("app")
    async with AsyncExitStack() as stack:
        tasks = []
        for _ in range(number):
            client = await connect(there, command_timeout_s=None)
            stack.callback(client.terminate)
            tasks.append(asyncio.create_task(client.execute("BEGIN; SELECT 1")))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_it_may_open_on_each_server_is_added_up(pooled: Pooled) -> None:
    found = await pooled.asked(replicas="2", surge="0")
    budget = found.budget
    (term,) = [it for it in budget.terms if it.name == "pgbouncer"]
    # app and capped, which may open 4; never what leads to another server.
    assert (term.connections, term.how) == (
        3 + 4,
        "1 * (2 + 1) + min(1 * (9 + 0), 4)",
    )
    assert budget.reader is not None
    assert budget.reader.terms[0].connections == 6
    assert budget.demand == 7 + 9
    # Its clients: both pools of both replicas.
    assert budget.pgbouncer is not None
    assert (budget.pgbouncer.demand, budget.pgbouncer.usable) == (60, 70)
    assert (budget.fits, budget.bound_by, budget.max_replicas) == (
        True, "pgbouncer", 2,
    )  # fmt: skip
    more = await pooled.asked(replicas="3", surge="0")
    assert (more.status, more.budget.fits) == (Status.FAIL, False)
    assert "PgBouncer would get 90 of 70 client" in (more.budget.reason or "")


async def test_each_process_counts(pooled: Pooled) -> None:
    url = pooled.console.url(show_password=True)
    found = await pooled.asked(replicas="3", surge="0", pgbouncer=f"2x{url}")
    assert found.budget.terms[0].connections == 2 * 7
    assert found.budget.fits
    assert found.pgbouncer is not None
    assert found.pgbouncer.processes == 2


async def test_an_application_behind_it_is_followed_to_its_server(
    pooled: Pooled,
) -> None:
    through = {
        "database_url": pooled.pooler.with_database("app").url(show_password=True),
        "database_reader_url": pooled.pooler.with_database("read").url(
            show_password=True
        ),
    }
    found = await pooled.asked(**through)
    assert found.budget.reader is not None
    assert found.budget.reader.demand == 6
    assert found.budget.demand == 3 + 4
    assert found.reader is not None
    assert (found.server.is_standby, found.reader.is_standby) == (False, True)


async def test_waiting_clients_are_counted_and_graded(pooled: Pooled) -> None:
    quiet = await pooled.diagnosed("D44", "100ms,60s")
    assert (quiet.status, quiet.findings) == (Status.OK, ())
    async with crowd(pooled, 4), asyncio.timeout(20):
        while (found := await pooled.asked()).pgbouncer is None or not (
            found.pgbouncer.clients_waiting == 2 and found.pgbouncer.maxwait_s > 0.1
        ):
            await asyncio.sleep(0.05)
        warned = await pooled.diagnosed("D44", "100ms,60s")
        failed = await pooled.diagnosed("D44", "50ms,100ms")
        patient = await pooled.diagnosed("D44", "30s,60s")
    app = next(it for it in found.pgbouncer.pools if it.database == "app")
    assert (app.pool_mode, app.clients_waiting, app.servers) == ("transaction", 2, 2)
    assert "clients of PgBouncer that wait for a connection: 2" in found.summary
    measures = {it.name: it for it in found.measures()}
    assert measures["pgbouncer_clients_waiting"].value == 2
    assert (warned.status, failed.status) == (Status.WARN, Status.FAIL)
    (finding,) = warned.findings
    assert finding.object == "pool app/dbops"
    assert finding.message.startswith("2 clients wait for one of its 2 connections")
    assert (patient.status, patient.findings) == (Status.OK, ())


async def test_the_budget_of_the_doctor_goes_through_it(pooled: Pooled) -> None:
    fits = await pooled.diagnosed("D10", "85%", replicas="1", surge="0")
    assert fits.status is Status.OK
    found = await pooled.diagnosed("D10", "85%", replicas="9", surge="0")
    assert [it.object for it in found.findings] == ["fleet on pgbouncer"]
    numbers = await pooled.diagnosed("D44", "1s", pgbouncer="20")
    assert not numbers.applies


async def problem(pooled: Pooled, console: Endpoint, **flags: object) -> DbopsError:
    """Ask for what a console says, which has to be told in the answer."""
    url = console.url(show_password=True)
    found = await pooled.asked(pgbouncer=url, replicas="1", **flags)
    assert found.problem is not None
    assert found.problem.hint
    assert found.status is Status.UNKNOWN
    assert (found.budget.fits, found.budget.max_replicas) == (False, None)
    assert (found.pgbouncer, found.server.status) == (None, Status.OK)
    assert password(console) not in found.model_dump_json()
    told = await pooled.diagnosed("D44", "1s", pgbouncer=url, **flags)
    assert told.status is Status.UNKNOWN
    return DbopsError(
        f"{found.problem.type}: {found.problem.message}", phase=found.problem.phase
    )


async def test_a_console_that_refuses_is_told(pooled: Pooled) -> None:
    wrong = replace(pooled.console, password=SecretStr("s3cr3t"))
    assert (await problem(pooled, wrong)).message.startswith("CredentialsError")
    stranger = replace(wrong, user="nobody_here")
    assert (await problem(pooled, stranger)).message.startswith("CredentialsError")


async def test_a_user_who_may_not_ask_is_told(pooled: Pooled) -> None:
    ini = INI.replace("READER", "1").replace("admin_users = dbops", "")
    with running(pooled.pair.writer, ini=ini) as other:
        await until_reachable(other.with_database("app"), limit_s=10)
        error = await problem(pooled, other.with_database("pgbouncer"))
    assert error.message.startswith("RefusedError")
    assert "does not let 'dbops' ask its console" in error.message


async def test_a_server_is_no_console(pooled: Pooled) -> None:
    server = pooled.pair.writer.with_database("pgbouncer")
    error = await problem(pooled, server)
    assert error.message.startswith("RefusedError")
    assert "is no admin console of PgBouncer" in error.message
    admin = await connect(pooled.pair.writer)
    await admin.execute("CREATE DATABASE pgbouncer TEMPLATE template0")
    try:
        error = await problem(pooled, server)
    finally:
        await admin.execute("DROP DATABASE pgbouncer WITH (FORCE)")
        await admin.close()
    assert error.message.startswith("RefusedError")
    assert "is no admin console of PgBouncer" in error.message


async def test_whatever_is_silent_ends_in_time(pooled: Pooled) -> None:
    async with impostor(deaf) as address:
        nobody = replace(pooled.console, addresses=(address,))
        error = await problem(pooled, nobody, timeout=1.0)
    assert error.message.startswith("UnreachableError")
    # Frozen while it lets us in, and between the questions.
    for answers in (14, 18):
        async with proxy(pooled.console, answers=answers) as stands_between:
            before = stands_between.before(pooled.console)
            async with asyncio.timeout(4):
                error = await problem(pooled, before, timeout=1.0)
        assert error.message.startswith("UnreachableError"), answers


async def test_settings_of_a_session_do_not_reach_it(pooled: Pooled) -> None:
    found = await pooled.asked(statement_timeout="5s", lock_timeout="1s")
    assert found.status is Status.OK


async def test_rows_come_whole_over_the_simple_protocol(pair: Pair) -> None:
    async with Connector(Credentials.known(pair.writer)).dialled() as dialled:
        rows = await simple_rows(
            dialled,
            "SELECT n, repeat('ü', n) AS text, NULL AS nothing, '' AS empty"
            " FROM generate_series(1, 3000) n",
        )
        assert len(rows) == 3000
        assert rows[2999] == {
            "n": "3000", "text": "ü" * 3000, "nothing": None, "empty": ""
        }  # fmt: skip
        # A statement without rows, an error, and the driver's own way once more.
        assert await simple_rows(dialled, "SET work_mem = '1MB'") == []
        with pytest.raises(DbopsError, match="no_such_table"):
            await simple_rows(dialled, "SELECT * FROM no_such_table")
        assert await dialled.connection.fetchval("SELECT $1::int", 7) == 7


async def test_a_connection_that_ends_meanwhile_is_told(pair: Pair) -> None:
    connector = Connector(Credentials.known(pair.writer))
    with pytest.raises(UnreachableError):
        async with connector.dialled() as dialled:
            await simple_rows(dialled, "SELECT pg_terminate_backend(pg_backend_pid())")


async def test_rows_come_over_tls_too(tls_server: TlsServer) -> None:
    there = tls_server.at(sslmode="require")
    async with Connector(Credentials.known(there)).dialled() as dialled:
        assert dialled.tls is not None
        rows = await simple_rows(
            dialled, "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        )
    assert rows == [{"ssl": "true"}]
