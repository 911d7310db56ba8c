"""One read by primary key, the way each of several programs would do it.

Each rival is opened over the same writer and reader, with room for as many connections
as there are workers, and yields what one request does.
"""

from asyncio import current_task
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import psycopg
from advanced_alchemy.config import EngineConfig, SQLAlchemyAsyncConfig
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import URL, AsyncAdaptedQueuePool, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
    create_async_pool_from_url,
)

from dbops.endpoint import Endpoint
from dbops.engine.database import Database
from dbops.settings import Settings, load_settings

Request = Callable[[], Awaitable[object]]
READ = "SELECT title FROM book WHERE n = {}"
BY_NAME, ONE = text(READ.format(":n")), {"n": 7}


@dataclass(frozen=True)
class Place:
    """Where the servers are, and how many connections there may be to each."""

    writer: Endpoint
    reader: Endpoint
    size: int

    def settings(self, **flags: object) -> Settings:
        """Return settings of dbops that lead here."""
        return load_settings(
            flags={
                "database_url": self.writer.url(show_password=True),
                "database_reader_url": self.reader.url(show_password=True),
                "pool_size": self.size,
                "max_overflow": 0,
                **flags,
            }
        )


Rival = Callable[[Place], AbstractAsyncContextManager[Request]]


def sqlalchemy_url(endpoint: Endpoint) -> URL:
    """Write an endpoint for SQLAlchemy's dialect of asyncpg."""
    address, password = endpoint.addresses[0], endpoint.password
    return URL.create(
        "postgresql+asyncpg",
        endpoint.user,
        password.get_secret_value() if password else None,
        None if address.is_socket else address.host,
        address.port,
        endpoint.database,
        query={"host": address.host} if address.is_socket else {},
    )


# What follows is written as in "Setting up FastAPI to talk to a real database":
# two pools that ping before use, and a context that begins both sessions.


@dataclass
class Article:
    """Its two engines, and the sessions of each."""

    place: Place
    engines: list[AsyncEngine] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make both engines."""
        self.writer = self._sessions(
            self.place.writer,
            {"isolation_level": "READ COMMITTED"},
            autoflush=True,
            expire_on_commit=False,
        )
        self.reader = self._sessions(
            self.place.reader,
            {
                "isolation_level": "REPEATABLE READ",
                "postgresql_readonly": True,
                "postgresql_deferrable": True,
            },
            autoflush=False,
            autobegin=False,
        )

    def _sessions(
        self, endpoint: Endpoint, mode: dict[str, Any], **options: bool
    ) -> async_sessionmaker[AsyncSession]:
        url = sqlalchemy_url(endpoint)
        pool = create_async_pool_from_url(
            url,
            pool_pre_ping=True,
            pool_size=self.place.size,
            max_overflow=0,
            poolclass=AsyncAdaptedQueuePool,
        )
        engine = create_async_engine(url, pool=pool, execution_options=mode)
        self.engines.append(engine)
        return async_sessionmaker(bind=engine, **options)  # type: ignore[call-overload,no-any-return] # as many as it likes

    async def request(self) -> object:
        """Read in a context of both, as each of its routes does."""
        writer = async_scoped_session(self.writer, scopefunc=current_task)()
        reader = async_scoped_session(self.reader, scopefunc=current_task)()
        await reader.begin()
        await writer.begin()
        found: object = await reader.scalar(BY_NAME, ONE)
        await writer.commit()
        await writer.close()
        await reader.rollback()
        await reader.close()
        return found


@asynccontextmanager
async def article(place: Place) -> AsyncGenerator[Request]:
    """The article's context."""
    made = Article(place)
    yield made.request
    for engine in made.engines:
        await engine.dispose()


def of_dbops(way: Callable[[Database], Request]) -> Rival:
    """Return a rival on dbops."""

    @asynccontextmanager
    async def opened(place: Place) -> AsyncGenerator[Request]:
        async with Database(place.settings()) as database:
            yield way(database)

    return opened


def snapshot(database: Database) -> Request:
    """`reader()`: one snapshot."""

    async def request() -> object:
        async with database.reader() as session:
            return await session.scalar(BY_NAME, ONE)

    return request


def alone(database: Database) -> Request:
    """`reader(autocommit=True)`: one statement that stands by itself."""

    async def request() -> object:
        async with database.reader(autocommit=True) as session:
            return await session.scalar(BY_NAME, ONE)

    return request


def context(database: Database) -> Request:
    """`context()`, whose writer is not touched."""

    async def request() -> object:
        async with database.context() as both:
            return await both.reader.scalar(BY_NAME, ONE)

    return request


@asynccontextmanager
async def psycopg_each(place: Place) -> AsyncGenerator[Request]:
    """A connection of psycopg for each request."""
    url = place.reader.url(show_password=True)

    async def request() -> object:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            found = await connection.execute(READ.format("%s"), [7])
            return await found.fetchone()

    yield request


@asynccontextmanager
async def psycopg_pool(place: Place) -> AsyncGenerator[Request]:
    """The pool of psycopg."""
    url = place.reader.url(show_password=True)
    pool = AsyncConnectionPool(url, open=False, min_size=place.size)

    async def request() -> object:
        async with pool.connection() as connection:
            found = await connection.execute(READ.format("%s"), [7])
            return await found.fetchone()

    async with pool:
        await pool.wait()
        yield request


@asynccontextmanager
async def asyncpg_pool(place: Place) -> AsyncGenerator[Request]:
    """The pool of asyncpg, without SQLAlchemy."""
    url = place.reader.url(show_password=True)
    async with asyncpg.create_pool(url, min_size=1, max_size=place.size) as pool:

        async def request() -> object:
            async with pool.acquire() as connection:
                return await connection.fetchval(READ.format("$1"), 7)

        yield request


@asynccontextmanager
async def advanced_alchemy(place: Place) -> AsyncGenerator[Request]:
    """The session of advanced-alchemy."""
    url = sqlalchemy_url(place.reader).render_as_string(hide_password=False)
    sized = EngineConfig(pool_size=place.size, max_overflow=0)
    config = SQLAlchemyAsyncConfig(connection_string=url, engine_config=sized)

    async def request() -> object:
        async with config.get_session() as session:
            return await session.scalar(BY_NAME, ONE)

    yield request
    await config.get_engine().dispose()


ARTICLE, SNAPSHOT, ALONE = "article's context", "db.reader()", "db.reader(autocommit)"
CONTEXT = "db.context(), no write"
RIVALS: dict[str, Rival] = {
    ARTICLE: article,
    "psycopg, one each": psycopg_each,
    "psycopg's pool": psycopg_pool,
    "asyncpg's pool": asyncpg_pool,
    "advanced-alchemy": advanced_alchemy,
    CONTEXT: of_dbops(context),
    SNAPSHOT: of_dbops(snapshot),
    ALONE: of_dbops(alone),
}
