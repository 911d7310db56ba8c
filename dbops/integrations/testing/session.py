"""A session whose work is undone, whatever the code under test commits."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession

from dbops.engine.borrowed import borrowed_connection
from dbops.engine.database import Database
from dbops.integrations.testing.database import PairDatabase


@asynccontextmanager
async def rolled_back(database: PairDatabase) -> AsyncGenerator[AsyncSession]:
    """Open a session on the writer for the block; nothing of it stays.

    The session joins a transaction of its connection by savepoints: its commits and
    rollbacks end those, and the transaction is rolled back at the end.
    https://docs.sqlalchemy.org/en/21/orm/session_transaction.html#joining-a-session-into-an-external-transaction-such-as-for-test-suites

    Args:
        database: Where.

    Raises:
        DbopsError: If the server cannot be reached.
    """
    async with (
        Database(database.writer_settings(pool_size=1)) as own,
        borrowed_connection(own.engine("writer")) as connection,
    ):
        # Closing the connection rolls it back, whatever has become of the session.
        await connection.begin()
        session = AsyncSession(
            connection,
            expire_on_commit=False,
            join_transaction_mode="create_savepoint",
        )
        async with session:
            yield session
