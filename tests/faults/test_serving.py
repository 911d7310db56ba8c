"""What an application that is under load survives; `pytest -rP` tells how well."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession

from dbops.credentials import DEADLINE_S
from dbops.endpoint import Driver, Endpoint
from dbops.engine.connect import Connection, connect
from dbops.engine.database import Database
from dbops.errors import CommitUnknownError, DbopsError, UnreachableError
from dbops.local.throwaway import throwaway
from dbops.settings import load_settings
from tests.conftest import Served, both_drivers, new_name, until_reachable
from tests.faults.proxy import deaf, impostor, proxy

ADD = text("INSERT INTO t VALUES (:n)")
COUNT = text("SELECT count(*) FROM t")
KILL = """
    SELECT pg_catalog.pg_terminate_backend(pid)
      FROM pg_catalog.pg_stat_activity
     WHERE datname = current_database() AND application_name <> 'admin'
"""
WORKERS = 6

pytestmark = both_drivers


@dataclass
class Load:
    """Workers that write one row a request, and what became of each request."""

    database: Database
    rests_s: float = 0.0
    """How long each worker pauses: so a small pool closes what waits for its turn."""
    acknowledged: dict[int, float] = field(default_factory=dict)
    """Row → when its commit was acknowledged, on the loop's clock."""
    unknown: set[int] = field(default_factory=set)
    failed: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    """How long the longest request took, failed ones included."""
    _numbers: "count[int]" = field(default_factory=count)
    _under_way: set[int] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Let the workers write for the block."""
        is_over = asyncio.Event()

        async def work() -> None:
            while not is_over.is_set():
                await self._request(next(self._numbers))
                await asyncio.sleep(self.rests_s)

        tasks = [asyncio.create_task(work()) for _ in range(WORKERS)]
        try:
            yield
        finally:
            is_over.set()
            await asyncio.gather(*tasks)

    async def _request(self, n: int) -> None:
        began = now()
        self._under_way.add(n)
        try:
            async with self.database.writer() as session:
                await session.execute(ADD, {"n": n})
                await session.commit()
        except (DbopsError, SQLAlchemyError) as error:
            self.failed[type(error).__name__] += 1
            if isinstance(error, CommitUnknownError):
                self.unknown.add(n)
            # As a client that tries again does.
            await asyncio.sleep(0.02)
        else:
            self.acknowledged[n] = now()
        self._under_way.discard(n)
        self.longest_s = max(self.longest_s, now() - began)

    async def more(self, at_least: int) -> None:
        """Wait until so many further requests were acknowledged, and who was slow."""
        goal = len(self.acknowledged) + at_least
        async with asyncio.timeout(30):
            while len(self.acknowledged) < goal:
                await asyncio.sleep(0.005)
            # No log-in takes longer than a password lasts, but on a busy machine.
            slow = set(self._under_way)
            while slow & self._under_way:
                await asyncio.sleep(0.005)

    def gap_s(self) -> float:
        """Return the longest time in which nothing was acknowledged."""
        times = sorted(self.acknowledged.values())
        return max(after - before for before, after in zip(times, times[1:]))  # noqa: B905,RUF007 # pairs

    async def survived(self, admin: Connection) -> "Survived":
        """Compare what was acknowledged with what is there."""
        found = await admin.fetch("SELECT n FROM t")
        there = {row["n"] for row in found}
        known = set(self.acknowledged)
        told = Survived(
            acknowledged=len(known),
            lost=len(known - there),
            twice=len(found) - len(there),
            unasked=len(there - known - self.unknown),
            failed=dict(self.failed),
            gap_s=round(self.gap_s(), 3),
            longest_s=round(self.longest_s, 3),
            in_use=self.database.pool("writer").in_use,
        )
        sys.stdout.write(f"{told}\n")
        return told


@dataclass(frozen=True)
class Survived:
    """What is left after a fault."""

    acknowledged: int
    lost: int
    """Acknowledged, and not there."""
    twice: int
    unasked: int
    """There, though its request was told that it had failed."""
    failed: dict[str, int]
    gap_s: float
    longest_s: float
    in_use: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost, repeated, made up or leaked."""
        return not (self.lost or self.twice or self.unasked or self.in_use)


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
async def admin(served: Served) -> AsyncGenerator[Connection]:
    made = await connect(served.writer, application_name="admin")
    await made.execute("CREATE TABLE t (n int)")
    yield made
    await made.close()


def both(writer: Endpoint, reader: Endpoint, driver: Driver) -> str:
    """Write the URL of whichever of two servers can be written to."""
    addresses = (*writer.addresses, *reader.addresses)
    either = replace(writer, addresses=addresses, target_session_attrs="read-write")
    return either.url(show_password=True).replace("sql:", f"sql+{driver}:")


async def test_a_promotion_under_load_loses_no_acknowledged_commit(
    driver: Driver,
) -> None:
    # What the standby has not got cannot survive: so a commit waits for it.
    async with throwaway() as pair:
        admin = await connect(pair.writer)
        await admin.execute("CREATE TABLE t (n int)")
        await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'reader'")
        await admin.execute("SELECT pg_catalog.pg_reload_conf()")
        async with asyncio.timeout(10):
            while not await admin.fetchval(
                "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            ):
                await asyncio.sleep(0.02)
        await admin.close()
        standby = await connect(pair.reader)
        settings = load_settings(
            flags={
                "database_url": both(pair.writer, pair.reader, driver),
                "pool_size": 4,
                "connect_timeout": "1s",
                "command_timeout": "2s",
            }
        )
        async with Database(settings) as database:
            load = Load(database)
            async with load.running():
                await load.more(50)
                assert pair.writer_pid is not None
                os.kill(pair.writer_pid, signal.SIGQUIT)
                await asyncio.sleep(0.2)
                await standby.execute("SELECT pg_catalog.pg_promote()")
                await load.more(50)
            survived = await load.survived(standby)
        assert survived.is_whole, survived
        assert survived.gap_s < 5, survived
        await standby.close()


async def test_backends_that_are_killed_under_load_lose_no_acknowledged_commit(
    served: Served, admin: Connection
) -> None:
    async with Database(served.settings(pool_size=3, max_overflow=2)) as database:
        load = Load(database)
        async with load.running():
            for _ in range(10):
                await load.more(10)
                # Whatever each is doing: nothing, a statement, or its commit.
                await admin.execute(KILL)
            await load.more(10)
        survived = await load.survived(admin)
    assert survived.is_whole, survived
    assert sum(survived.failed.values()) <= 10 * WORKERS, survived


@pytest.mark.parametrize("rests_s", [0.05, 0.6])
@pytest.mark.parametrize("how", ["writer", "reader", "alone"])
async def test_a_farewell_that_nobody_listened_to_is_not_passed_on(
    served: Served, admin: Connection, how: str, rests_s: float
) -> None:
    async with proxy(served.writer) as network:
        url = network.before(served.writer).url(show_password=True)
        settings = served.settings(
            database_url=url,
            database_reader_url=url,
            pool_size=1,
            max_overflow=0,
            # Whoever waits for an answer to what nobody heard fails.
            command_timeout="2s",
        )
        async with Database(settings) as database:

            def opened() -> AbstractAsyncContextManager[AsyncSession]:
                if how == "writer":
                    return database.writer()
                return database.reader(autocommit=how == "alone")

            for _ in range(2):
                async with opened() as session:
                    assert await session.scalar(COUNT) == 0
                # The server's last words arrive, and its end does not.
                network.keep_open()
                await admin.execute(KILL)
                await asyncio.sleep(rests_s)
            async with opened() as session:
                assert await session.scalar(COUNT) == 0


@pytest.mark.parametrize("how", ["frozen", "cut", "refusing"])
async def test_a_network_that_fails_under_load_is_survived_in_time(
    served: Served, admin: Connection, how: str
) -> None:
    async with proxy(served.writer) as network:
        settings = served.settings(
            database_url=network.before(served.writer).url(show_password=True),
            pool_size=3,
            max_overflow=0,
            command_timeout="300ms",
            connect_timeout="300ms",
            pool_timeout="2s",
        )
        async with Database(settings) as database:
            load = Load(database)
            async with load.running():
                await load.more(20)
                if how == "frozen":
                    network.freeze()
                if how == "refusing":
                    network.refuse()
                if how != "frozen":
                    network.cut()
                await asyncio.sleep(1)
                network.thaw()
                network.accept()
                await load.more(20)
            survived = await load.survived(admin)
    # A frozen network passes on what it held back: also what nobody waits for.
    assert (survived.lost, survived.twice, survived.in_use) == (0, 0, 0), survived
    assert how == "frozen" or survived.unasked == 0, survived
    # The pool's time-out, a new connection, a statement, and the end of it.
    assert survived.longest_s < 2 + 3 * 0.3 + 1, survived


async def test_a_reader_that_freezes_is_passed_over_in_time(
    served: Served, admin: Connection
) -> None:
    async with proxy(served.reader) as one, proxy(served.reader) as other:
        two = replace(served.reader, addresses=(one.address, other.address))
        settings = served.settings(
            database_reader_url=two.url(show_password=True),
            command_timeout="300ms",
            connect_timeout="300ms",
        )
        async with Database(settings) as database:

            async def read() -> None:
                async with database.reader() as session:
                    assert await session.scalar(text("SELECT pg_is_in_recovery()"))

            for _ in range(10):
                await read()
            one.freeze()
            spent = []
            for _ in range(20):
                began = now()
                await read()
                spent.append(now() - began)
            # Whoever has met it has gone on to the other one; then few meet it.
            assert max(spent) < 3, spent
            assert sum(it > 0.25 for it in spent) <= 10, spent


async def test_a_silent_first_host_is_paid_for_by_the_first_use_alone(
    served: Served, admin: Connection
) -> None:
    async with impostor(deaf) as silent:
        first = replace(served.writer, addresses=(silent, *served.writer.addresses))
        settings = served.settings(
            database_url=first.url(show_password=True), connect_timeout="400ms"
        )
        async with Database(settings) as database:
            spent = []
            for n in range(5):
                began = now()
                async with database.writer() as session:
                    await session.execute(ADD, {"n": n})
                    await session.commit()
                spent.append(now() - began)
    assert 0.4 <= spent[0] < 3, spent
    assert sum(spent[1:]) < 4 * 0.4, spent


@asynccontextmanager
async def without_a_reader(served: Served, **flags: object) -> AsyncGenerator[Database]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    nobody = f"postgresql://u:p@127.0.0.1:{port}/{served.name}"
    settings = served.settings(database_reader_url=nobody, **flags)
    async with Database(settings) as database:
        yield database


async def test_a_context_without_a_reader_fails_before_it_has_written(
    served: Served, admin: Connection
) -> None:
    async with without_a_reader(served) as database:
        with pytest.raises(UnreachableError):
            async with database.context() as context:
                await context.writer.execute(ADD, {"n": 1})
        assert database.pool("writer").in_use == database.pool("reader").in_use == 0
        async with database.writer() as session:
            await session.execute(ADD, {"n": 2})
            await session.commit()
    assert await admin.fetchval("SELECT array_agg(n) FROM t") == [2]


async def test_a_context_whose_reader_is_the_writer_keeps_its_promises(
    served: Served, admin: Connection
) -> None:
    async with without_a_reader(served, reader_fallback="writer") as database:
        async with database.context() as context:
            await context.writer.execute(ADD, {"n": 1})
            await admin.execute("INSERT INTO t VALUES (2)")
            assert await context.reader.scalar(COUNT) == 0
        assert await admin.fetchval("SELECT count(*) FROM t") == 2
        assert database.pool("writer").in_use == 0


@asynccontextmanager
async def a_user(
    admin: Connection, *, limit: int = -1
) -> AsyncGenerator[tuple[str, str]]:
    """Make an ordinary user, who may have so many connections."""
    user, password = new_name("user"), secrets.token_hex(8)
    await admin.execute(
        f"CREATE USER {user} PASSWORD '{password}' CONNECTION LIMIT {limit};"
        f"GRANT ALL ON t TO {user}"
    )
    try:
        yield user, password
    finally:
        await admin.execute(f"DROP OWNED BY {user}; DROP USER {user}")


async def test_a_server_that_is_full_is_told_and_goes_on_for_who_is_in(
    served: Served, admin: Connection
) -> None:
    async with a_user(admin, limit=2) as (user, password):
        url = served.writer.url(show_password=True)
        scheme, _, place = url.partition("://")[0], "", url.rpartition("@")[2]
        settings = served.settings(
            database_url=f"{scheme}://{user}:{password}@{place}", pool_size=5
        )
        async with Database(settings) as database:
            found: Counter[str] = Counter()
            everybody = asyncio.Barrier(5)

            async def use() -> None:
                await everybody.wait()
                try:
                    async with database.writer() as session:
                        await session.execute(text("SELECT pg_sleep(0.6)"))
                except UnreachableError as error:
                    found[str(error.sqlstate)] += 1
                else:
                    found["served"] += 1

            for _ in range(2):
                await asyncio.gather(*(use() for _ in range(5)))
            assert found == {"served": 4, "53300": 6}, found
            assert database.pool("writer").in_use == 0
            load = Load(database)
            await admin.execute(f"ALTER USER {user} CONNECTION LIMIT -1")
            async with load.running():
                await load.more(20)
            assert not load.failed


@dataclass
class Vault:
    """A Secrets Manager that can be shut and opened again."""

    server: ThreadedMotoServer
    port: int

    @property
    def flags(self) -> dict[str, object]:
        return {
            "aws_region": "eu-west-1",
            "aws_endpoint_url": f"http://127.0.0.1:{self.port}",
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }

    async def put(self, name: str, user: str, password: str) -> None:
        await asyncio.to_thread(self._put, name, user, password)

    def _put(self, name: str, user: str, password: str) -> None:
        client = boto3.client(
            "secretsmanager",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        says = f'{{"username": "{user}", "password": "{password}"}}'
        try:
            client.put_secret_value(SecretId=name, SecretString=says)
        except client.exceptions.ResourceNotFoundException:
            client.create_secret(Name=name, SecretString=says)
        finally:
            client.close()

    async def shut(self) -> None:
        await asyncio.to_thread(self.server.stop)

    async def open(self) -> None:
        self.server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        await asyncio.to_thread(self.server.start)


@pytest.fixture
async def vault() -> AsyncGenerator[Vault]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    made = Vault(ThreadedMotoServer("127.0.0.1", port, verbose=False), port)
    await made.open()
    yield made
    await made.shut()


@asynccontextmanager
async def with_a_secret(
    served: Served, admin: Connection, vault: Vault
) -> AsyncGenerator[tuple[str, Database]]:
    """Read user and password from a secret, and keep one connection at most."""
    async with a_user(admin) as (user, password):
        await vault.put(user, user, password)
        address = served.writer.addresses[0]
        url = f"postgresql+{served.driver}://{address}/{served.name}"
        settings = load_settings(
            flags={
                **vault.flags,
                "db_secret_id": user,
                "db_host": address.host,
                "db_port": address.port,
                "db_name": served.name,
                **({"database_url": url} if served.driver != "asyncpg" else {}),
                # All but one are opened for their request alone.
                "pool_size": 1,
                "max_overflow": WORKERS,
            }
        )
        async with Database(settings) as database:
            yield user, database


@pytest.mark.parametrize("users", [1, 2])
async def test_a_rotation_under_load_fails_no_request_and_is_asked_for_once(
    served: Served, admin: Connection, vault: Vault, users: int
) -> None:
    async with with_a_secret(served, admin, vault) as (user, database):
        # Where two take turns, one of them can log in at any time.
        turns = [user] if users == 1 else [f"{user}_clone", user]
        await admin.execute(f"CREATE USER {user}_clone; GRANT ALL ON t TO {user}_clone")
        opened: list[str] = []
        event.listen(
            database.engine("writer").sync_engine,
            "connect",
            lambda *_: opened.append("one more"),
        )
        load = Load(database, rests_s=0.005)
        async with load.running():
            for number in range(3):
                await load.more(40)
                async with admin.transaction():
                    who = turns[number % len(turns)]
                    await admin.execute(f"ALTER USER {who} PASSWORD 'new {number}'")
                    await vault.put(user, who, f"new {number}")
            await load.more(80)
        survived = await load.survived(admin)
        await admin.execute(f"DROP OWNED BY {user}_clone; DROP USER {user}_clone")
    assert survived.is_whole, survived
    assert not survived.failed, survived
    assert len(opened) > 3 * WORKERS, "nobody had to log in"
    fetches = database.connectors._secrets.fetches  # noqa: SLF001 # it is shown nowhere
    assert fetches <= 1 + 3


async def test_without_secrets_manager_what_was_read_before_still_serves(
    served: Served, admin: Connection, vault: Vault
) -> None:
    async with with_a_secret(served, admin, vault) as (_, database):
        load = Load(database, rests_s=0.005)
        async with load.running():
            await load.more(5)
            await vault.shut()
            await load.more(50)
        survived = await load.survived(admin)
    assert survived.is_whole, survived
    assert not survived.failed, survived


async def test_without_secrets_manager_a_cold_start_ends_in_time_and_may_be_repeated(
    served: Served, admin: Connection, vault: Vault
) -> None:
    async with with_a_secret(served, admin, vault) as (_, database):
        await vault.shut()
        began = now()
        for _ in range(2):
            with pytest.raises(UnreachableError) as caught:
                async with database.writer() as session:
                    await session.execute(COUNT)
            assert caught.value.phase == "secret"
            assert caught.value.retryable
        assert now() - began < 2 * DEADLINE_S
        await vault.open()
        # It has forgotten everything, as no Secrets Manager does.
        await vault.put(await the_user(admin), await the_user(admin), "renewed")
        await admin.execute(f"ALTER USER {await the_user(admin)} PASSWORD 'renewed'")
        async with database.writer() as session:
            assert await session.scalar(COUNT) == 0


async def the_user(admin: Connection) -> str:
    name: str = await admin.fetchval(
        "SELECT grantee FROM information_schema.role_table_grants"
        " WHERE table_name = 't' AND grantee LIKE 'user%' LIMIT 1"
    )
    return name


async def test_a_conflict_that_shows_at_commit_is_told_and_undone(
    served: Served, admin: Connection
) -> None:
    serializable = text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    await admin.execute("INSERT INTO t VALUES (1), (2)")
    async with Database(served.settings()) as database:
        async with database.writer() as first, database.writer() as second:
            for session in (first, second):
                await session.execute(serializable)
                # Each reads what the other one writes.
                assert await session.scalar(COUNT) == 2
            await first.execute(ADD, {"n": 3})
            await second.execute(ADD, {"n": 4})
            await first.commit()
            with pytest.raises(DBAPIError) as caught:
                await second.commit()
        assert getattr(caught.value.orig, "sqlstate", None) == "40001"
        assert database.pool("writer").in_use == 0
        async with database.writer() as session:
            assert await session.scalar(COUNT) == 3


async def test_twenty_first_uses_at_once_make_one_engine_and_few_connections(
    served: Served, admin: Connection
) -> None:
    # The first is the engine's own, which asks the server who it is.
    settings = served.settings(pool_size=4, max_overflow=0)
    async with Database(settings) as database:
        engines = set()

        async def use(n: int) -> None:
            async with database.context() as context:
                await context.writer.execute(ADD, {"n": n})
                engines.add(database.engine("writer"))
                engines.add(database.engine("reader"))

        await until_there(served)
        await asyncio.gather(*(use(n) for n in range(20)))
        assert len(engines) == 2
        sessions = await admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND application_name <> 'admin'"
        )
        assert sessions <= 4
        assert database.pool("writer").most == 4
        assert database.pool("reader").idle <= 4
    assert await admin.fetchval("SELECT count(DISTINCT n) FROM t") == 20


async def until_there(served: Served) -> None:
    await until_reachable(served.reader)
    reader = await connect(served.reader)
    async with asyncio.timeout(10):
        while await reader.fetchval("SELECT to_regclass('t')") is None:
            await asyncio.sleep(0.01)
    await reader.close()


async def test_a_pool_that_is_too_small_is_told_and_serves_on(
    served: Served, admin: Connection
) -> None:
    settings = served.settings(pool_size=1, max_overflow=0, pool_timeout="200ms")
    async with Database(settings) as database:
        async with database.writer() as session:
            await session.execute(ADD, {"n": 1})
            with pytest.raises((PoolTimeoutError, DbopsError)):
                async with database.writer() as other:
                    await other.execute(ADD, {"n": 2})
            await session.commit()
        async with database.writer() as session:
            assert await session.scalar(COUNT) == 1


APPLICATION = """
from fastapi import FastAPI
from sqlalchemy import text
from dbops import Database, load_settings
from dbops.integrations.fastapi import Context, lifespan

app = FastAPI(lifespan=lifespan(lambda: Database(load_settings())))

@app.post("/slow/{n}", status_code=201)
async def slow(n: int, context: Context) -> None:
    await context.writer.execute(text("INSERT INTO t VALUES (:n)"), {"n": n})
    await context.writer.execute(text("SELECT pg_sleep(0.7)"))

@app.get("/live")
async def live() -> None: ...
"""


@pytest.mark.parametrize("leaves_first", [False, True])
async def test_a_sigterm_lets_requests_end_and_leaves_no_connection(
    served: Served, admin: Connection, tmp_path: Path, *, leaves_first: bool
) -> None:
    (tmp_path / "served.py").write_text(APPLICATION)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    words = ("served:app", "--port", str(port), "--log-level", "critical")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "--app-dir", str(tmp_path), *words),
        env={**os.environ, **served.environment},
        stderr=PIPE,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await until(lambda: answers(client))
            asked = [asyncio.create_task(client.post(f"/slow/{n}")) for n in range(3)]
            await until(lambda: has_backends(admin, "active", 3))
            if leaves_first:
                # Its handler goes on to its end, and commits.
                asked.pop().cancel()
            process.terminate()
            codes = [(await it).status_code for it in asked]
        async with asyncio.timeout(10):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert codes == [201] * len(asked)
    assert said == b""
    assert process.returncode in (0, -signal.SIGTERM)
    assert await admin.fetchval("SELECT count(*) FROM t") == 3
    await until(lambda: has_backends(admin, "%", 0))


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(15):
        while not await true():
            await asyncio.sleep(0.02)


async def answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/live")).status_code == 200
    except httpx.TransportError:
        return False


async def has_backends(admin: Connection, state: str, wanted: int) -> bool:
    found = await admin.fetchval(
        "SELECT count(*) FROM pg_catalog.pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND application_name <> 'admin' AND state LIKE $1",
        state,
    )
    return bool(found == wanted)
