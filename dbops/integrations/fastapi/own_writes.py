"""A client sees what it has written, also on a reader that is late.

The writer's position after the commit travels in a cookie; what this client reads then
comes from a reader that has replayed it, or else from the writer. Anybody can send any
position, and gets the writer's answer instead of a reader's: no secret depends on it.
"""

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import Cookie, Depends, Response
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from dbops.engine.database import Database
from dbops.engine.sessions.token import Token
from dbops.errors import DbopsError
from dbops.integrations.fastapi.lifespan import AppDatabase

_COOKIE = "dbops_after"


async def remember(response: Response, database: Database, *, for_s: int = 60) -> None:
    """Let `OwnReader` show this client what has just been committed.

    Call it after the commit, so where the route opens `Database.writer` itself: FastAPI
    makes the headers before it ends a dependency. What is stored stays a success: a
    position that cannot be taken leads the client to the writer, as long as it counts.

    Args:
        response: Gets the cookie.
        database: Where it was committed.
        for_s: For how long, in seconds; longer than a reader is ever late.
    """
    try:
        token = await database.token()
    except (DbopsError, SQLAlchemyError):
        token = Token(None)
    response.set_cookie(
        _COOKIE, str(token), max_age=for_s, httponly=True, samesite="lax"
    )


async def provide_own_reader(
    database: AppDatabase,
    cookie: Annotated[
        str | None, Cookie(alias=_COOKIE, include_in_schema=False)
    ] = None,
) -> AsyncGenerator[AsyncSession]:
    """Open what `OwnReader` is; a key for `dependency_overrides`."""
    async with database.reader(after=_remembered(cookie)) as session:
        yield session


OwnReader = Annotated[AsyncSession, Depends(provide_own_reader, scope="function")]
"""As `Reader`, and never behind what this client has written; see `remember`."""


def _remembered(cookie: str | None) -> Token | None:
    if cookie is None:
        return None
    try:
        return Token.parse(cookie)
    except ValueError:  # anybody can send anything
        return None
