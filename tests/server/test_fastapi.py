"""An application on dbops, through real HTTP against a real writer and standby."""

import asyncio
from collections.abc import AsyncGenerator, Generator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import HTTPConnection

from dbops.engine.connect import Connection, connect
from dbops.engine.database import Database
from dbops.errors import (
    ConfigError,
    DbopsError,
    FailedError,
    ReadOnlyError,
    TransactionAbortedError,
)
from dbops.integrations.fastapi import (
    AppDatabase,
    Context,
    OwnReader,
    Reader,
    Writer,
    answer_errors,
    database_of,
    health,
    lifespan,
    metrics,
    prepared,
    remember,
    trace,
)
from dbops.integrations.fastapi.pinged import Probes
from dbops.results import Status
from tests.conftest import RunDbops, Served, new_name, until_table
from tests.faults.proxy import Proxy, proxy
from tests.served_app import served_app
from tests.server.doctored import until_true

ADD = text("INSERT INTO t VALUES (:n)")
COUNT = text("SELECT count(*) FROM t")
NOWHERE = "postgresql://a@127.0.0.1:1/b"
OTHERS = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name <> 'admin'
"""
WAITING = """
    FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.fixture
async def table(served: Served) -> AsyncGenerator[Connection]:
    """A table whose constraint fails at COMMIT."""
    admin = await connect(served.writer, application_name="admin")
    await admin.execute(
        "CREATE TABLE t (n int, UNIQUE (n) DEFERRABLE INITIALLY DEFERRED)"
    )
    await until_table(served.reader, "t")
    yield admin
    await admin.close()


def application(served: Served, **flags: object) -> FastAPI:
    """Return an application with a route for each kind of session."""
    app = FastAPI(lifespan=lifespan(lambda: Database(served.settings(**flags))))
    app.include_router(health())
    app.include_router(metrics())
    answer_errors(app)

    @app.get("/count")
    async def count(reader: Reader) -> dict[str, object]:
        standby = await reader.scalar(text("SELECT pg_is_in_recovery()"))
        return {"count": await reader.scalar(COUNT), "standby": standby}

    @app.get("/readers")
    async def readers(reader: Reader) -> object:
        return await reader.scalar(text("SELECT 1"))

    @app.post("/plain/{n}", status_code=201)
    async def plain(n: int, writer: Writer) -> dict[str, int]:
        await writer.execute(ADD, {"n": n})
        return {"n": n}

    @app.post("/context/{n}", status_code=201)
    async def both(n: int, context: Context) -> dict[str, object]:
        before = await context.reader.scalar(COUNT)
        await context.writer.execute(ADD, {"n": n})
        return {"n": n, "before": before}

    @app.post("/swallowed/{n}", status_code=201)
    async def swallowed(n: int, writer: Writer) -> dict[str, int]:
        await writer.execute(ADD, {"n": n})
        with suppress(Exception):
            await writer.execute(text("SELECT 1/0"))
        return {"n": n}

    @app.post("/slow", status_code=201)
    async def slow(writer: Writer) -> None:
        await writer.execute(ADD, {"n": 1})
        await writer.execute(text("SELECT pg_sleep(0.3)"))

    @app.post("/wrong")
    async def wrong(reader: Reader) -> None:
        await reader.execute(ADD, {"n": 1})

    @app.get("/own")
    async def own(reader: OwnReader) -> object:
        return await reader.scalar(COUNT)

    @app.post("/own", status_code=201)
    async def add(database: AppDatabase, response: Response) -> None:
        async with database.writer() as session:
            await session.execute(ADD, {"n": 1})
            await session.commit()
        await remember(response, database, for_s=30)

    return app


@pytest.fixture
async def client(
    served: Served, table: Connection
) -> AsyncGenerator[httpx.AsyncClient]:
    async with served_app(application(served)) as made:
        yield made


async def rows(table: Connection) -> int:
    found: int = await table.fetchval("SELECT count(*) FROM t")
    return found


@pytest.mark.parametrize("kind", ["plain", "context"])
async def test_what_was_told_to_be_created_is_there(
    client: httpx.AsyncClient, table: Connection, kind: str
) -> None:
    for n in range(20):
        assert (await client.post(f"/{kind}/{n}")).status_code == 201
        # At once: the commit came before the response.
        assert await rows(table) == n + 1


@pytest.mark.parametrize("kind", ["plain", "context"])
async def test_a_commit_that_fails_is_never_told_as_a_success(
    client: httpx.AsyncClient, table: Connection, kind: str
) -> None:
    assert (await client.post(f"/{kind}/1")).status_code == 201
    for _ in range(20):
        assert (await client.post(f"/{kind}/1")).status_code == 500
    assert await rows(table) == 1


async def test_a_swallowed_error_is_never_told_as_a_success(
    client: httpx.AsyncClient, table: Connection
) -> None:
    assert (await client.post("/swallowed/1")).status_code == 500
    assert await rows(table) == 0


@pytest.fixture
async def paused(served: Served, table: Connection) -> AsyncGenerator[None]:
    """The standby receives, and does not replay."""
    standby = await connect(served.reader, application_name="admin")
    await standby.execute("SELECT pg_wal_replay_pause()")
    try:
        async with asyncio.timeout(10):
            while (
                await standby.fetchval("SELECT pg_get_wal_replay_pause_state()")
                != "paused"
            ):
                await asyncio.sleep(0.01)
        yield
    finally:
        await standby.execute("SELECT pg_wal_replay_resume()")
        await standby.close()


async def test_a_client_sees_what_it_has_written(
    client: httpx.AsyncClient, paused: None
) -> None:
    assert (await client.post("/own")).status_code == 201
    assert (await client.get("/own")).json() == 1
    async with httpx.AsyncClient(base_url=client.base_url) as stranger:
        assert (await stranger.get("/own")).json() == 0
        # Who sends nonsense is a stranger too; who knows no position asks the writer.
        for words in ("nonsense", "1/2/3", "-1/0", "F" * 99, '"', "é"):
            header = f"dbops_after={words}".encode()
            answer = await stranger.get("/own", headers=[(b"Cookie", header)])
            assert (answer.status_code, answer.json()) == (200, 0)
        answer = await stranger.get("/own", headers={"Cookie": "dbops_after="})
        assert answer.json() == 1


@pytest.mark.parametrize("kind", ["streamed", "behind"])
async def test_a_session_is_of_no_use_after_its_route(
    served: Served, table: Connection, kind: str
) -> None:
    """What a body or a task in the background writes would never be committed."""
    app = application(served)
    failed: list[Exception] = []

    async def late(writer: Writer) -> AsyncGenerator[bytes]:
        yield b"told"
        try:
            await writer.execute(ADD, {"n": 1})
        except InvalidRequestError as error:
            failed.append(error)

    async def run(writer: Writer) -> None:
        async for _ in late(writer):
            pass

    @app.post("/streamed")
    async def streamed(writer: Writer) -> StreamingResponse:
        return StreamingResponse(late(writer))

    @app.post("/behind")
    async def behind(writer: Writer, tasks: BackgroundTasks) -> None:
        tasks.add_task(run, writer)

    async with served_app(app) as client:
        assert (await client.post(f"/{kind}")).status_code == 200
        async with asyncio.timeout(5):
            while not failed:
                await asyncio.sleep(0.01)
        found = (await client.get("/metrics")).text
        assert 'dbops_pool_connections{role="writer",state="in_use"} 0.0' in found


async def test_what_is_mounted_has_the_applications_database(served: Served) -> None:
    app, below = application(served), FastAPI()

    @below.get("/is_standby")
    async def is_standby(reader: Reader) -> object:
        return await reader.scalar(text("SELECT pg_is_in_recovery()"))

    app.mount("/below", below)
    async with served_app(app) as client:
        assert (await client.get("/below/is_standby")).json() is True


async def test_a_list_is_served_by_the_reader(client: httpx.AsyncClient) -> None:
    assert (await client.get("/count")).json() == {"count": 0, "standby": True}
    assert (await client.post("/wrong")).status_code == 500


async def test_a_client_that_hangs_up_leaves_nothing_behind(
    client: httpx.AsyncClient, table: Connection
) -> None:
    busy = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name <> 'admin' AND state <> 'idle'"
    )
    asked = asyncio.create_task(client.post("/slow"))
    await until_true(table, busy)
    asked.cancel()
    is_back = 'dbops_pool_connections{role="writer",state="in_use"} 0.0'
    async with asyncio.timeout(5):
        while is_back not in (found := (await client.get("/metrics")).text):
            await asyncio.sleep(0.02)
    assert not await table.fetchval(busy)
    assert 'dbops_pool_waiting{role="writer"} 0.0' in found
    assert 'dbops_pool_limit{role="reader"} 15.0' in found


async def test_probes_tell_of_what_they_depend_on(served: Served) -> None:
    app = application(served, database_reader_url=NOWHERE)
    async with served_app(app) as client:
        assert (await client.get("/livez")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).status_code == 200
        answer = await client.get("/health")
        assert answer.status_code == 503
        roles = {it["role"]: it["status"] for it in answer.json()["endpoints"]}
        assert roles == {"writer": "ok", "reader": "fail"}
        assert (await client.head("/health")).status_code == 503
        options = await client.options("/health")
        assert (options.status_code, options.headers["allow"]) == (
            204,
            "GET, HEAD, OPTIONS",
        )


@dataclass
class Proxied:
    """An application whose servers are behind proxies."""

    app: FastAPI
    writer: Proxy
    reader: Proxy


@pytest.fixture
async def proxied(served: Served) -> AsyncGenerator[Proxied]:
    async with proxy(served.writer) as writer, proxy(served.reader) as reader:
        app = application(
            served,
            database_url=writer.before(served.writer).url(show_password=True),
            database_reader_url=reader.before(served.reader).url(show_password=True),
            pool_size=12,
        )
        yield Proxied(app, writer, reader)


async def test_a_probe_connects_to_what_it_depends_on(proxied: Proxied) -> None:
    async with served_app(proxied.app) as client:
        for path, wanted in (("livez", (0, 0)), ("readyz", (1, 0)), ("health", (2, 1))):
            assert (await client.get(f"/{path}")).status_code == 200
            assert (proxied.writer.connections, proxied.reader.connections) == wanted


async def test_probes_at_the_same_time_share_their_connections(
    proxied: Proxied,
) -> None:
    arrived = 0

    @proxied.app.middleware("http")
    async def count(request: Request, handle: RequestResponseEndpoint) -> Response:
        nonlocal arrived
        arrived += 1
        return await handle(request)

    async with served_app(proxied.app) as client:
        proxied.writer.freeze()
        asked = [asyncio.create_task(client.get("/health")) for _ in range(8)]
        async with asyncio.timeout(5):
            while arrived < 8:
                await asyncio.sleep(0.005)
        proxied.writer.thaw()
        assert {(await it).status_code for it in asked} == {200}
        assert (proxied.writer.connections, proxied.reader.connections) == (1, 1)
        # What was asked then says nothing about later.
        assert (await client.get("/health")).status_code == 200
        assert proxied.writer.connections == 2


async def test_who_gives_up_a_probe_takes_the_answer_from_nobody(
    served: Served,
) -> None:
    async with Database(served.settings()) as database:
        probes = Probes()
        asked = [asyncio.create_task(probes.pinged(database)) for _ in range(3)]
        await asyncio.sleep(0)
        # The one who has asked first; the others wait for the same answer.
        asked[0].cancel()
        for it in asked[1:]:
            assert (await it).status is Status.OK


async def test_probes_are_in_the_schema_once_each(served: Served) -> None:
    # A name that two of them have would be a warning.
    paths = application(served).openapi()["paths"]
    for path in ("/livez", "/readyz", "/health"):
        assert list(paths[path]) == ["get"]
    answers = paths["/health"]["get"]["responses"]
    bodies = [answers[it]["content"]["application/json"] for it in ("200", "503")]
    assert bodies[0] == bodies[1]


async def test_probes_of_silent_servers_are_answered(proxied: Proxied) -> None:
    async with served_app(proxied.app) as client:
        proxied.reader.freeze()
        assert (await client.get("/readyz")).status_code == 200
        proxied.writer.freeze()
        for path, roles in (("readyz", ["writer"]), ("health", ["writer", "reader"])):
            # Sooner than a probe of Kubernetes gives up that has 4 s.
            answer = await client.get(f"/{path}", timeout=4)
            assert answer.status_code == 503
            endpoints = answer.json()["endpoints"]
            assert [it["role"] for it in endpoints] == roles
            assert {it["status"] for it in endpoints} == {"fail"}
        assert (await client.get("/livez")).status_code == 200


async def test_an_application_that_has_ended_holds_no_connection(
    served: Served, table: Connection
) -> None:
    app = application(served)
    async with served_app(app) as client:
        assert (await client.post("/context/1")).status_code == 201
        assert await table.fetchval(OTHERS) == 1
    async with asyncio.timeout(5):
        while await table.fetchval(OTHERS):
            await asyncio.sleep(0.01)


async def test_an_application_ends_though_its_servers_are_silent(
    proxied: Proxied,
) -> None:
    @proxied.app.post("/warm")
    async def warm(database: AppDatabase) -> None:
        await database.warm()

    async with asyncio.timeout(20) as limit:
        async with served_app(proxied.app) as client:
            assert (await client.post("/warm")).status_code == 200
            proxied.writer.freeze()
            proxied.reader.freeze()
            # Less than a second for each of them.
            limit.reschedule(asyncio.get_running_loop().time() + 8)


async def test_health_is_what_the_command_answers(
    served: Served, dbops: RunDbops
) -> None:
    ran = await asyncio.to_thread(
        dbops, "ping", "--format", "json", env=served.environment
    )
    async with served_app(application(served)) as client:
        answer = (await client.get("/health")).json()

    def shape(it: object) -> object:
        """Keep what does not change from one connection to the next."""
        if isinstance(it, dict):
            return {name: shape(value) for name, value in it.items()}
        if isinstance(it, list):
            return [shape(value) for value in it]
        return type(it) if isinstance(it, float) else it

    told, asked = shape(answer), shape(ran.json["result"])
    assert isinstance(told, dict)
    assert isinstance(asked, dict)
    # These sentences tell how long it took.
    assert told.pop("summary")
    assert asked.pop("summary")
    assert told == asked


async def test_the_application_lives_while_the_writer_is_away(served: Served) -> None:
    app = application(served, database_url=NOWHERE)
    async with served_app(app) as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        answer = await client.post("/plain/1")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "127.0.0.1" not in answer.text


async def test_what_may_succeed_later_is_told_so(
    served: Served, table: Connection
) -> None:
    app = application(
        served,
        pool_size=1,
        max_overflow=0,
        pool_timeout="300ms",
        statement_timeout="2s",
    )
    await table.execute("SELECT pg_advisory_lock(1)")

    @app.post("/waits")
    async def waits(writer: Writer) -> None:
        await writer.execute(text("SELECT pg_advisory_lock(1)"))

    async with served_app(app) as client:
        asked = asyncio.create_task(client.post("/waits"))
        await until_waiting(table)
        # The only connection of the pool is in use.
        full = await client.post("/plain/1")
        await table.execute(f"SELECT pg_terminate_backend(pid) {WAITING}")
        ended = await asked
        # Nobody gives the lock before the statement has taken too long.
        late = await client.post("/waits")
        for answer in (full, ended, late):
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert "pg_advisory_lock" not in answer.text


async def test_what_never_succeeds_is_left_to_whoever_logs_errors(
    served: Served, table: Connection
) -> None:
    app = application(served)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://app") as client,
    ):
        with pytest.raises(ReadOnlyError):
            await client.post("/wrong")
        with pytest.raises(TransactionAbortedError):
            await client.post("/swallowed/1")
        assert (await client.post("/plain/1")).status_code == 201
        with pytest.raises(IntegrityError):
            await client.post("/plain/1")


async def until_waiting(admin: Connection) -> None:
    async with asyncio.timeout(10):
        while not await admin.fetchval(f"SELECT count(*) {WAITING}"):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("url", "steps", "said"),
    [
        ("mysql://a@b/c", {}, "does not start with postgresql://"),
        (NOWHERE, {"create": True}, "nothing listens"),
    ],
)
async def test_a_start_that_fails_ends_with_what_to_do(
    served: Served, url: str, steps: dict[str, bool], said: str
) -> None:
    app = FastAPI(
        lifespan=lifespan(
            lambda: Database(served.settings(database_url=url)), setup=prepared(**steps)
        )
    )
    told: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: MutableMapping[str, Any]) -> None:
        told.append(message)

    scope = {"type": "lifespan", "app": app, "state": {}}
    with pytest.raises(DbopsError, match=said) as raised:
        await app(scope, receive, send)
    assert told[0]["type"] == "lifespan.startup.failed"
    lines = told[0]["message"].splitlines()
    # What uvicorn prints: how it came to this is said by nobody else's trace.
    assert said in lines[-2]
    assert lines[-1] == raised.value.hint
    assert len(lines) < 25


async def test_an_application_can_refuse_to_start(served: Served) -> None:
    settings = served.settings(database_reader_url=NOWHERE)
    started = lifespan(Database(settings), setup=prepared(ping=True))
    with pytest.raises(FailedError, match="nothing listens"):
        async with started(FastAPI()):
            pass


async def test_a_start_creates_and_migrates_as_often_as_it_likes(
    served: Served, project: Path
) -> None:
    name = new_name("app")
    settings = served.settings(
        database_url=served.writer.with_database(name).url(show_password=True),
        database_reader_url=None,
        alembic_config=str(project / "alembic.ini"),
    )
    started = lifespan(
        lambda: Database(settings), setup=prepared(create=True, migrate=True, ping=True)
    )
    try:
        for _ in range(2):
            app = FastAPI()
            async with started(app), database_of_app(app).writer() as session:
                found = await session.scalar(
                    text("SELECT version_num FROM alembic_version")
                )
                assert found == "c3"
    finally:
        admin = await connect(served.writer)
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await admin.close()


def database_of_app(app: FastAPI) -> Database:
    return database_of(HTTPConnection({"type": "http", "app": app}))


async def test_a_route_without_a_lifespan_says_what_is_missing() -> None:
    app = FastAPI()
    app.include_router(health())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        with pytest.raises(ConfigError, match="no database"):
            await client.get("/health")


@dataclass
class Spans:
    """Where the spans of a test go."""

    provider: TracerProvider
    exporter: InMemorySpanExporter

    def words(self) -> list[str]:
        """Return the first word of each statement that has ended."""
        spans = [it.attributes or {} for it in self.exporter.get_finished_spans()]
        return [str(it["db.statement"]).split()[0] for it in spans]


@pytest.fixture
def spans() -> Generator[Spans]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Spans(provider, exporter)
    provider.shutdown()


async def test_each_statement_is_a_span(
    served: Served, table: Connection, spans: Spans
) -> None:
    async with Database(served.settings()) as database:
        trace(database, tracer_provider=spans.provider)
        async with database.context() as context:
            await context.writer.execute(ADD, {"n": 1})
            await context.reader.scalar(COUNT)
        async with database.reader(autocommit=True) as session:
            await session.scalar(COUNT)
    assert spans.words() == ["INSERT", "SELECT", "SELECT"]


async def test_each_database_and_each_reader_is_traced(
    served: Served, table: Connection, spans: Spans
) -> None:
    hosts = (*served.reader.addresses, *served.writer.addresses)
    both = replace(served.reader, addresses=hosts).url(show_password=True)
    async with (
        Database(served.settings()) as one,
        Database(served.settings(database_reader_url=both)) as other,
    ):
        for database in (one, other):
            trace(database, tracer_provider=spans.provider)
        for database in (one, other):
            async with database.writer() as session:
                await session.execute(ADD, {"n": 1})
            async with database.reader() as session:
                await session.scalar(COUNT)
    assert spans.words() == ["INSERT", "SELECT", "INSERT", "SELECT"]


async def test_a_span_tells_no_value(
    served: Served, table: Connection, spans: Spans
) -> None:
    """Neither as a parameter nor in what the server says of an error."""
    number = text("SELECT CAST(CAST(:words AS text) AS int)")
    async with Database(served.settings()) as database:
        trace(database, tracer_provider=spans.provider)
        async with database.writer() as session:
            with pytest.raises(DBAPIError, match="private"):
                await session.execute(number, {"words": "private"})
        async with database.reader() as session:
            # An error of dbops' own ends its span too.
            with pytest.raises(ReadOnlyError):
                await session.execute(ADD, {"n": 1})
    found = spans.exporter.get_finished_spans()
    assert [it.status.status_code for it in found] == [StatusCode.ERROR] * 2
    assert all("private" not in it.to_json() for it in found)
    assert all("127.0.0.1" not in it.to_json() for it in found)


async def test_metrics_are_those_of_each_pool(served: Served) -> None:
    """As Prometheus reads them, also where they are asked for before their pools."""
    hosts = (*served.reader.addresses, *served.writer.addresses)
    both = replace(served.reader, addresses=hosts).url(show_password=True)
    app = application(served, database_reader_url=both)

    async def told(client: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
        answer = await client.get("/metrics")
        return {
            (it.name, *it.labels.values()): it.value
            for family in text_string_to_metric_families(answer.text)
            for it in family.samples
        }

    async with served_app(app) as client:
        assert (await told(client))["dbops_pool_limit", "reader"] == 15
        assert (await client.get("/readers")).status_code == 200
        found = await told(client)
    assert found["dbops_pool_limit", "writer"] == 15
    # One for each host.
    assert found["dbops_pool_limit", "reader"] == 30
    assert found["dbops_pool_connections", "reader", "idle"] == 1
    assert found["dbops_pool_connections", "reader", "in_use"] == 0
    assert found["dbops_pool_waiting", "reader"] == 0


async def test_two_requests_that_conflict_are_both_answered(
    client: httpx.AsyncClient, table: Connection
) -> None:
    answers = await asyncio.gather(*(client.post("/plain/7") for _ in range(8)))
    codes = sorted(it.status_code for it in answers)
    assert codes == [201] + [500] * 7
    assert await rows(table) == 1
