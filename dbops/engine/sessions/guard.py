"""Keep a statement that stands by itself from writing through the reader.

BEGIN READ ONLY says so for a transaction; a statement in autocommit mode has no BEGIN,
and the reader may be the writer itself, so the session says it once for all.
"""

from dbops.engine.connect import Connector
from dbops.engine.dialling.driver import Connection
from dbops.engine.faults.translate import translated
from dbops.engine.pooled.adapted import READ_ONLY
from dbops.engine.pooled.made import Creator


def guarded(connector: Connector) -> Creator:
    """Return what opens connections that cannot write by themselves.

    Behind a pooler the setting would reach the next client, so it is not made there.
    """

    async def opened() -> Connection:
        dialled = await connector.dial()
        connection = dialled.connection
        if connector.is_pooled:
            return connection
        try:
            with translated(dialled.endpoint):
                await connection.execute(f"SET {READ_ONLY} = on")
        except BaseException:
            connection.terminate()
            raise
        return connection

    return opened
