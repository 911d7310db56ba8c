"""A client sees what it has written, also on a reader that is late.

The writer's position after the commit travels in a cookie; a list is then read from a
reader that has replayed it, or from the writer.
"""

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import Cookie, Depends, Response
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from dbops import Database, DbopsError, Token
from dbops.integrations.fastapi import database_of

COOKIE = "bookapi_after"

Db = Annotated[Database, Depends(database_of)]
"""The application's database."""


async def remember(response: Response, database: Database, *, for_s: int) -> None:
    """Let the client see what has just been committed; call it after the commit.

    Args:
        response: Gets the cookie.
        database: Where it was committed.
        for_s: For so long, in seconds.
    """
    try:
        token = await database.token()
    except (DbopsError, SQLAlchemyError):
        # It is stored, so this is no failure. No reader ever reaches an unknown
        # position: until the cookie ends, the writer is read.
        token = Token(None)
    response.set_cookie(
        COOKIE, str(token), max_age=for_s, httponly=True, samesite="lax"
    )


def remembered(cookie: str | None) -> Token | None:
    """Return the position that a cookie holds; None where it holds none."""
    if cookie is None:
        return None
    try:
        return Token.parse(cookie)
    except ValueError:  # anybody can send anything
        return None


async def _reader(
    database: Db, cookie: Annotated[str | None, Cookie(alias=COOKIE)] = None
) -> AsyncGenerator[AsyncSession]:
    async with database.reader(after=remembered(cookie)) as session:
        yield session


OwnReader = Annotated[AsyncSession, Depends(_reader, scope="function")]
"""As dbops' `Reader`, and never behind what this client has written."""
