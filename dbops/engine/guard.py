"""Keep a statement that stands by itself from writing through the reader.

BEGIN READ ONLY says so for a transaction; a statement in autocommit mode has no BEGIN,
and the reader may be the writer itself, so the session says it once for all.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from dbops.engine.adapted import READ_ONLY
from dbops.engine.connect import Connector
from dbops.engine.driver import Connection
from dbops.engine.made import Creator
from dbops.errors import RefusedError


def guarded(connector: Connector) -> Creator:
    """Return what opens connections that cannot write by themselves.

    Behind a pooler the setting would reach the next client, so it is not made there.
    """

    async def opened() -> Connection:
        connection = await connector()
        if not connector.is_pooled:
            await connection.execute(f"SET {READ_ONLY} = on")
        return connection

    return opened


def refuse_unguarded(connection: AsyncConnection) -> None:
    """Let a connection be used in autocommit mode only if it cannot write by itself.

    Raises:
        RefusedError: If it could.
    """
    assert connection.sync_connection is not None  # it is open  # noqa: S101
    options = connection.sync_connection.get_execution_options()
    if options.get("isolation_level") != "AUTOCOMMIT":
        return
    driver = connection.sync_connection.connection.driver_connection
    # Ours, whichever driver it is of.
    if driver.reported(READ_ONLY) != "on":  # type: ignore[union-attr]
        raise RefusedError(
            "nothing would keep a statement in autocommit mode from writing: a pooler "
            "stands before the reader",
            hint="read without autocommit, or connect to the reader itself",
            phase="query",
        )
