"""From an application's start to its end."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from starlette.requests import HTTPConnection

from dbops.engine.database import Database
from dbops.errors import ConfigError, DbopsError

Setup = Callable[[Database], Awaitable[object]]
"""What an application does with its database before it serves anybody."""

_NAME = "dbops_database"
_log = logging.getLogger(__name__)


def lifespan(
    database: Database | Callable[[], Database], *, setup: Setup | None = None
) -> Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Database]]]:
    """Return a lifespan: set up at the start, every connection closed at the end.

    Settings that lead nowhere keep the application from starting; a server that is
    away does not, unless `setup` asks it something.

    Args:
        database: The application's; or what makes it, once the application starts.
        setup: Awaited before the application serves anybody, such as
            `prepared(create=True, migrate=True, ping=True)`; what it raises keeps the
            application from starting.
    """

    @asynccontextmanager
    async def span(app: FastAPI) -> AsyncGenerator[Mapping[str, Database]]:
        made = database if isinstance(database, Database) else database()
        async with made:
            await _set_up(made, setup)
            setattr(app.state, _NAME, made)
            # Also what is mounted gets this state with each request.
            yield {_NAME: made}

    return span


async def _set_up(database: Database, setup: Setup | None) -> None:
    try:
        database.connectors.connector("writer")
        if database.settings.has_reader:
            database.connectors.connector("reader")
        if setup is not None:
            await setup(database)
    except DbopsError as error:
        # The server prints the trace and ends: what tells its reader what to do are the
        # last lines.
        _log.debug("the application cannot start", exc_info=True)
        if error.hint:
            error.add_note(error.hint)
        raise error.with_traceback(None) from None


def database_of(connection: HTTPConnection) -> Database:
    """Return the application's database; also a dependency.

    Raises:
        ConfigError: If the application was started without `lifespan`.
    """
    inherited = connection.scope.get("state", {}).get(_NAME)
    found = getattr(connection.app.state, _NAME, inherited)
    if not isinstance(found, Database):
        raise ConfigError(
            "this application has no database",
            hint="FastAPI(lifespan=lifespan(database)), and let the server (or the "
            "test's client) run the lifespan",
            phase="settings",
        )
    return found


AppDatabase = Annotated[Database, Depends(database_of)]
"""The application's database, for what a session that is provided cannot do."""
