"""A real writer and standby for the run, a migrated database for each test."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from bookapi.main import create_app
from bookapi.settings import AppSettings
from dbops import DbopsError, Endpoint, Settings, connect, load_settings
from dbops.engine.connect import Connection
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway

PROJECT = Path(__file__).parents[1]
LIMIT_S = 20

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
Block = Callable[[], AbstractAsyncContextManager[None]]
Lead = Callable[..., Settings]


@pytest.fixture(scope="session", autouse=True)
def _no_ambient_settings() -> Generator[None]:
    """No test sees where the developer's own database is."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("DATABASE_", "DB_", "AWS_", "DBOPS_POOL", "BOOKAPI_")):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
async def pair() -> AsyncGenerator[Pair]:
    """A writer and a streaming standby."""
    async with throwaway() as pair:
        yield pair


@pytest.fixture(scope="session")
async def template(pair: Pair) -> str:
    """Set a database up as the init container does, for others to be copied from."""
    name = "bookapi_template"
    environment = {
        **os.environ,
        "DATABASE_URL": pair.writer.with_database(name).url(show_password=True),
        "DATABASE_READER_URL": pair.reader.with_database(name).url(show_password=True),
    }
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "dbops", "setup", "--wait", "20s"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return name


@pytest.fixture
async def name(pair: Pair, template: str) -> AsyncGenerator[str]:
    """A database of the test's own, on both servers."""
    name = f"bookapi_{uuid.uuid4().hex[:12]}"
    maintenance = await connect(pair.writer)
    try:
        await maintenance.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        await until_there(pair.reader.with_database(name))
        yield name
        await maintenance.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await maintenance.close()


async def until_there(endpoint: Endpoint) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                await (await connect(endpoint)).close()
            except DbopsError:
                await asyncio.sleep(0.02)
            else:
                return


@pytest.fixture
def lead(pair: Pair, name: str) -> Lead:
    """Return settings that lead to the test's database."""
    writer, reader = pair.writer.with_database(name), pair.reader.with_database(name)

    def settings(**flags: object) -> Settings:
        places = {
            "database_url": writer.url(show_password=True),
            "database_reader_url": reader.url(show_password=True),
        }
        return load_settings(flags={**places, **flags})

    return settings


@pytest.fixture
async def admin(pair: Pair, name: str) -> AsyncGenerator[Connection]:
    """A connection of ours to the writer."""
    connection = await connect(
        pair.writer.with_database(name), application_name="admin"
    )
    yield connection
    await connection.close()


@pytest.fixture
async def standby(pair: Pair, name: str) -> AsyncGenerator[Connection]:
    """A connection of ours to the standby."""
    connection = await connect(
        pair.reader.with_database(name), application_name="admin"
    )
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
def held(pair: Pair, name: str) -> Block:
    """Keep everybody from writing a visit, for a block."""

    @asynccontextmanager
    async def block() -> AsyncGenerator[None]:
        connection = await connect(
            pair.writer.with_database(name), application_name="admin"
        )
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
async def client(serve: Serve, lead: Lead) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the application on the test's database."""
    async with serve(lead()) as made:
        yield made
