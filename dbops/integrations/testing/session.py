"""A session whose work is undone, whatever the code under test commits."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from dbops.engine.database import Database
from dbops.engine.sessions.borrowed import borrowed_connection

if TYPE_CHECKING:
    from dbops.integrations.testing.shared import Shared

# COMMIT and ROLLBACK can be said past the session. Nothing may be written after them.
_ONLY_READ = "SET default_transaction_read_only = on"
_WRITE = "SET TRANSACTION READ WRITE"
_TRANSACTION = "SELECT pg_catalog.pg_current_xact_id()::text"


@asynccontextmanager
async def rolled_back(shared: "Shared") -> AsyncGenerator[AsyncSession]:
    """Open a session on the writer for the block; nothing of it stays.

    The session joins a transaction of its connection by savepoints: its commits and
    rollbacks end those, and the transaction is rolled back at the end. So does every
    other session on that connection.
    https://docs.sqlalchemy.org/en/21/orm/session_transaction.html#joining-a-session-into-an-external-transaction-such-as-for-test-suites

    Args:
        shared: Where.

    Raises:
        UsageError: If the block has committed the transaction all the same.
        DbopsError: If the server cannot be reached.
    """
    async with (
        Database(shared.settings()) as own,
        borrowed_connection(own.engine("writer")) as connection,
    ):
        transaction = await _begun(connection)
        session = AsyncSession(
            connection,
            expire_on_commit=False,
            join_transaction_mode="create_savepoint",
        )
        try:
            yield session
        finally:
            await _ended(session, connection)
    shared.expect_rollback(transaction)


async def _begun(connection: AsyncConnection) -> str:
    """Begin what will be rolled back; return its id."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.execute(_ONLY_READ)
    await connection.begin()
    await connection.exec_driver_sql(_WRITE)
    transaction = await connection.exec_driver_sql(_TRANSACTION)
    # Sessions of the test's own end savepoints too, where there is one already.
    await connection.begin_nested()
    return str(transaction.scalar_one())


async def _ended(session: AsyncSession, connection: AsyncConnection) -> None:
    """End the connection, and with it what was begun.

    ROLLBACK would wait for a statement of a task that the test has left; the end of the
    connection cancels that.
    """
    with suppress(InvalidRequestError):  # the test has closed it
        await connection.invalidate()
    await session.close()
