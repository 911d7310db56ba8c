"""From an application's start to its end."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.requests import HTTPConnection

from dbops.engine.database import Database
from dbops.errors import ConfigError

Setup = Callable[[Database], Awaitable[object]]
"""What an application does with its database before it serves anybody."""

_NAME = "dbops_database"


def lifespan(
    database: Database | Callable[[], Database], *, setup: Setup | None = None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return a lifespan: set up at the start, every connection closed at the end.

    Args:
        database: The application's; or what makes it, once the application starts.
        setup: Awaited before the application serves anybody, such as
            `prepared(create=True, migrate=project, ping=True)`; what it raises keeps
            the application from starting.
    """

    @asynccontextmanager
    async def span(app: FastAPI) -> AsyncGenerator[None]:
        made = database if isinstance(database, Database) else database()
        async with made:
            if setup is not None:
                await setup(made)
            setattr(app.state, _NAME, made)
            yield

    return span


def database_of(connection: HTTPConnection) -> Database:
    """Return the application's database; also a dependency.

    Raises:
        ConfigError: If the application was started without `lifespan`.
    """
    found = getattr(connection.app.state, _NAME, None)
    if not isinstance(found, Database):
        raise ConfigError(
            "this application has no database",
            hint="FastAPI(lifespan=lifespan(database)), and let the server (or the "
            "test's client) run the lifespan",
            phase="settings",
        )
    return found
