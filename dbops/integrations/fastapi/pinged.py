"""Do the application's servers answer?"""

import asyncio

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


class Probes:
    """Asks once for all who want to know at the same time.

    However many they are, they take one connection to each server.
    """

    def __init__(self) -> None:
        self._asking: dict[tuple[Database, bool], asyncio.Task[Ping]] = {}

    async def pinged(self, database: Database, *, readers: bool = True) -> Ping:
        """Ask as `pinged` does, or wait for what is being asked already."""
        key = (database, readers)
        task = self._asking.get(key)
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            task = asyncio.create_task(pinged(database, readers=readers))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        # Who hangs up takes the answer from nobody.
        return await asyncio.shield(task)
