"""How do tests ask the doctor one question, with thresholds that need no waiting?"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from pydantic import SecretStr

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, Connectors, connect
from dbops.local.state import Pair
from dbops.operations.doctor import Diagnosis, Finding, doctor
from dbops.operations.doctor.catalogue import catalogue
from dbops.operations.doctor.choices import choices
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import new_name, until_reachable


def leading_to(
    pair: Pair,
    *,
    user: str | None = None,
    database: str | None = None,
    only_writer: bool = False,
) -> Connectors:
    """Return how to reach the servers, as somebody else or in another database."""
    urls = {}
    servers = {"database_url": pair.writer, "database_reader_url": pair.reader}
    for name, server in servers.items():
        there = server if database is None else server.with_database(database)
        if user is not None:
            there = replace(there, user=user, password=SecretStr(user))
        urls[name] = there.url(show_password=True)
    if only_writer:
        del urls["database_reader_url"]
    return Connectors(load_settings(flags={**urls, "interval": 0.3}))


async def diagnosed(connectors: Connectors, check_id: str, **limits: str) -> Diagnosis:
    """Ask one check, with thresholds as `--limit` takes them."""
    chosen = choices(
        catalogue(),
        only=[check_id],
        limits=[f"{check_id}.{name}={value}" for name, value in limits.items()],
    )
    found = await doctor(connectors, chosen)
    return next(it for it in found.checks if it.id == check_id)


def about(found: Diagnosis, thing: str) -> Finding:
    """Return the only finding about `thing`."""
    (finding,) = [it for it in found.findings if it.object == thing]
    return finding


async def until(ask: Callable[[], Awaitable[Diagnosis]], status: Status) -> Diagnosis:
    """Ask until the verdict is `status`."""
    async with asyncio.timeout(30):
        while (found := await ask()).status is not status:
            await asyncio.sleep(0.05)
    return found


async def until_true(connection: Connection, query: str) -> None:
    """Ask a server until it says yes."""
    async with asyncio.timeout(30):
        while not await connection.fetchval(query):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def session(
    endpoint: Endpoint, name: str = "somebody"
) -> AsyncGenerator[Connection]:
    """Open a session that a check may see, and end it with the block."""
    connection = await connect(endpoint, application_name=name, command_timeout_s=None)
    pid = connection.get_server_pid()
    try:
        yield connection
    finally:
        connection.terminate()
        # The next test may not find what this one has left.
        admin = await connect(endpoint)
        await admin.execute(f"SELECT pg_terminate_backend({pid}, 10000)")
        await admin.close()


@asynccontextmanager
async def configured(endpoint: Endpoint, **settings: str) -> AsyncGenerator[None]:
    """Change a server's settings for the block."""
    connection = await connect(endpoint)
    try:
        for name, value in settings.items():
            await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        await connection.execute("SELECT pg_reload_conf()")
        yield
    finally:
        for name in settings:
            await connection.execute(f"ALTER SYSTEM RESET {name}")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()


@dataclass(frozen=True)
class Shop:
    """A new database, and a session in it."""

    pair: Pair
    name: str
    session: Connection

    @property
    def writer(self) -> Endpoint:
        """How to connect to it on the writer."""
        return self.pair.writer.with_database(self.name)

    @property
    def reader(self) -> Endpoint:
        """How to connect to it on the reader."""
        return self.pair.reader.with_database(self.name)

    @property
    def major(self) -> int:
        """The server's major version."""
        return self.session.get_server_version().major

    async def run(self, *statements: str) -> None:
        """Execute statements, one after another."""
        for statement in statements:
            await self.session.execute(statement)

    async def asked(
        self, check_id: str, *, user: str | None = None, **limits: str
    ) -> Diagnosis:
        """Ask one check in this database."""
        to = leading_to(self.pair, user=user, database=self.name)
        return await diagnosed(to, check_id, **limits)

    async def replayed(self) -> None:
        """Wait until the reader has what the writer has."""
        token = await self.session.fetchval("SELECT pg_current_wal_lsn()::text")
        async with session(self.reader) as reader:
            await until_true(reader, f"SELECT pg_last_wal_replay_lsn() >= '{token}'")


@asynccontextmanager
async def new_shop(pair: Pair) -> AsyncGenerator[Shop]:
    """Make a database on both servers for the block."""
    name = new_name()
    async with session(pair.writer) as admin:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        await until_reachable(pair.reader.with_database(name))
        async with session(pair.writer.with_database(name)) as writer:
            yield Shop(pair, name, writer)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def make_roles(pair: Pair) -> None:
    """Make a role without any privilege, and one that is a pg_monitor."""
    async with session(pair.writer) as writer:
        await writer.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
        await writer.execute("CREATE ROLE monitor LOGIN PASSWORD 'monitor'")
        await writer.execute("GRANT pg_monitor TO monitor")
        # What a question means is not for the asking role's settings to decide.
        await writer.execute(
            "ALTER ROLE monitor SET standard_conforming_strings = off; "
            "ALTER ROLE monitor SET search_path = nowhere"
        )
        token = await writer.fetchval("SELECT pg_current_wal_lsn()::text")
    if pair.reader == pair.writer:
        return
    async with session(pair.reader) as reader:
        await until_true(reader, f"SELECT pg_last_wal_replay_lsn() >= '{token}'")
