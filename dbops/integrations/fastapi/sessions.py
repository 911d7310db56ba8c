"""Sessions as dependencies, committed before the response is sent.

Their scope is the function's: FastAPI's own, the request's, ends a dependency once the
response is on its way, and a commit that fails then has been told as a success.
https://fastapi.tiangolo.com/tutorial/dependencies/dependencies-with-yield/
"""

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession

from dbops.engine.context import Context as Opened
from dbops.engine.database import Database
from dbops.integrations.fastapi.lifespan import database_of

_Database = Annotated[Database, Depends(database_of)]


async def provide_context(database: _Database) -> AsyncGenerator[Opened]:
    """Open what `Context` is; a key for `dependency_overrides`."""
    async with database.context() as context:
        yield context


async def provide_writer(database: _Database) -> AsyncGenerator[AsyncSession]:
    """Open what `Writer` is; a key for `dependency_overrides`."""
    async with database.writer() as session:
        yield session
        await session.commit()


async def provide_reader(database: _Database) -> AsyncGenerator[AsyncSession]:
    """Open what `Reader` is; a key for `dependency_overrides`."""
    async with database.reader() as session:
        yield session


Context = Annotated[Opened, Depends(provide_context, scope="function")]
"""A writer, committed before the response, and a reader with a snapshot.

FastAPI makes the headers before the commit: who wants to give the client a token opens
`Database.writer` in the handler, commits, and takes it then.
"""

Writer = Annotated[AsyncSession, Depends(provide_writer, scope="function")]
"""A session on the writer, committed before the response."""

Reader = Annotated[AsyncSession, Depends(provide_reader, scope="function")]
"""A session on the reader: one snapshot, read only."""
