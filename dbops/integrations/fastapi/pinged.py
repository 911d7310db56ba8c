"""Do the application's servers answer?"""

from dbops.endpoint import Role
from dbops.engine.database import Database
from dbops.operations.ping import Ping, ping

_LIMIT_S = 2.0


async def pinged(database: Database, *, readers: bool = True) -> Ping:
    """Ask writer and reader as `dbops ping` does, over connections of its own.

    A pool that is used up says nothing about a server, and a connection that is open
    nothing about who may still connect.

    Args:
        database: Whose.
        readers: Whether to ask the reader too.
    """
    roles: list[Role] = ["writer"]
    if readers and database.settings.has_reader:
        roles.append("reader")
    connectors = {role: database.connectors.connector(role) for role in roles}
    return await ping(connectors, limit_s=_LIMIT_S)
