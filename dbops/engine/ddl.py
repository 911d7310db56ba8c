"""One SQLAlchemy connection of its own, for DDL."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import NullPool

from dbops.endpoint import Address
from dbops.engine.connect import Connection, Connector, close
from dbops.engine.faults.translate import translated
from dbops.engine.pooled.made import engine_over
from dbops.errors import UnreachableError

_READ_COMMITTED = {"isolation_level": "READ COMMITTED"}
_AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}
_FIRST_QUESTIONS_S = 10.0


@asynccontextmanager
async def ddl_connection(
    connector: Connector, *, autocommit: bool = False
) -> AsyncGenerator[AsyncConnection]:
    """Open one SQLAlchemy connection of its own for DDL.

    Args:
        connector: Where to.
        autocommit: Run each statement by itself, as CREATE DATABASE has to be.

    Raises:
        DbopsError: If the server cannot be reached or refuses, and the translation of
            whatever a statement inside the block raises.
    """
    options = _AUTOCOMMIT if autocommit else _READ_COMMITTED
    dialled = await connector.dial()

    async def creator() -> Connection:
        return dialled.connection

    engine = engine_over(creator, execution_options=options, poolclass=NullPool)
    try:
        with translated(dialled.endpoint):
            limit_s = connector.options.max_timeout_s or _FIRST_QUESTIONS_S
            connection = await _opened(engine, dialled.address, limit_s)
            try:
                yield connection
            finally:
                await _closed(connection, connector.options.close_limit_s())
    finally:
        # Also when SQLAlchemy was interrupted: it ends in time, its statement too.
        await close(dialled.connection)
        await engine.dispose()


async def _opened(
    engine: AsyncEngine, address: Address, limit_s: float
) -> AsyncConnection:
    """Connect, with a bound on what SQLAlchemy asks the server first.

    The statements of DDL have none, and these come on the same connection.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await engine.connect()
    except TimeoutError:
        raise UnreachableError(
            f"{address} let us log in and then gave no answer within {limit_s:g} s",
            hint="check the server and any proxy in front of it",
            phase="query",
        ) from None


async def _closed(connection: AsyncConnection, limit_s: float) -> None:
    """Close, with a bound on the ROLLBACK that SQLAlchemy sends first."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await connection.close()
