"""What the tests share, besides dbops' own fixtures: one migrated database for each."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from bookapi.main import create_app
from bookapi.settings import AppSettings
from dbops import Settings, connect
from dbops.engine.connect import Connection
from dbops.integrations.testing import PairDatabase

PROJECT = Path(__file__).parents[1]
LIMIT_S = 20

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
Block = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture(scope="session")
def dbops_project() -> str:
    """What the databases are migrated with, wherever pytest is started."""
    return str(PROJECT / "alembic.ini")


@pytest.fixture
async def admin(dbops_database: PairDatabase) -> AsyncGenerator[Connection]:
    """A connection of ours to the writer."""
    connection = await connect(dbops_database.writer, application_name="admin")
    yield connection
    await connection.close()


@pytest.fixture
async def standby(dbops_database: PairDatabase) -> AsyncGenerator[Connection]:
    """A connection of ours to the standby."""
    connection = await connect(dbops_database.reader, application_name="admin")
    yield connection
    await connection.close()


@pytest.fixture
def paused(standby: Connection) -> Block:
    """Let the standby receive and not replay, for a block."""

    @asynccontextmanager
    async def block() -> AsyncGenerator[None]:
        await standby.execute("SELECT pg_wal_replay_pause()")
        try:
            async with asyncio.timeout(LIMIT_S):
                while (
                    await standby.fetchval("SELECT pg_get_wal_replay_pause_state()")
                    != "paused"
                ):
                    await asyncio.sleep(0.01)
            yield
        finally:
            await standby.execute("SELECT pg_wal_replay_resume()")

    return block


@pytest.fixture
def held(dbops_database: PairDatabase) -> Block:
    """Keep everybody from writing a visit, for a block."""

    @asynccontextmanager
    async def block() -> AsyncGenerator[None]:
        connection = await connect(dbops_database.writer, application_name="admin")
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE visits IN EXCLUSIVE MODE")
                yield
        finally:
            await connection.close()

    return block


@pytest.fixture
def serve() -> Serve:
    """Serve the application on loopback for a block, its lifespan included."""

    @asynccontextmanager
    async def block(settings: Settings) -> AsyncGenerator[httpx.AsyncClient]:
        app = create_app(AppSettings(), settings)
        server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical")
        )
        serving = asyncio.create_task(server.serve())
        try:
            async with asyncio.timeout(LIMIT_S):
                while not server.started and not serving.done():
                    await asyncio.sleep(0.005)
            port = server.servers[0].sockets[0].getsockname()[1]
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S
            ) as client:
                yield client
        finally:
            server.should_exit = True
            await serving

    return block


@pytest.fixture
async def client(
    serve: Serve, dbops_database: PairDatabase
) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the application on the test's database."""
    async with serve(dbops_database.settings()) as made:
        yield made
