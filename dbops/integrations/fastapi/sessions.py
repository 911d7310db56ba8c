"""Sessions as dependencies, committed before the response is sent.

Their scope is the function's: FastAPI's own, the request's, ends a dependency once the
response is on its way, and a commit that fails then has been told as a success.
https://fastapi.tiangolo.com/tutorial/dependencies/dependencies-with-yield/

So `Depends(provide_writer)` alone is a trap: `Writer` says the scope too. The functions
are there as keys for `dependency_overrides`.
"""

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession

from dbops.engine.sessions.context import Context as Opened
from dbops.integrations.fastapi.lifespan import AppDatabase


async def provide_context(database: AppDatabase) -> AsyncGenerator[Opened]:
    """Open what `Context` is; a key for `dependency_overrides`."""
    async with database.context() as context:
        yield context


async def provide_writer(database: AppDatabase) -> AsyncGenerator[AsyncSession]:
    """Open what `Writer` is; a key for `dependency_overrides`."""
    async with database.writer() as session:
        yield session
        await session.commit()


async def provide_reader(database: AppDatabase) -> AsyncGenerator[AsyncSession]:
    """Open what `Reader` is; a key for `dependency_overrides`."""
    async with database.reader() as session:
        yield session


Context = Annotated[Opened, Depends(provide_context, scope="function")]
"""A writer, committed before the response, and a reader with a snapshot.

Neither is of use after its route: what a streamed body or a background task does, opens
a session of `AppDatabase`.
"""

Writer = Annotated[AsyncSession, Depends(provide_writer, scope="function")]
"""A session on the writer, committed before the response."""

Reader = Annotated[AsyncSession, Depends(provide_reader, scope="function")]
"""A session on the reader: one snapshot, read only."""
