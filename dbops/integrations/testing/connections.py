"""One connection to each server of a test run."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, close, connect
from dbops.engine.faults.translate import translated
from dbops.errors import DbopsError

_APPLICATION = "dbops pytest"
_COMMAND_LIMIT_S = 60.0


class Connections:
    """Connections that are opened once, and lent to one at a time."""

    def __init__(self) -> None:
        self._open: dict[Endpoint, Connection] = {}
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def to(self, endpoint: Endpoint) -> AsyncGenerator[Connection]:
        """Lend the connection to a server, a new one if a test has ended the last.

        Raises:
            DbopsError: If the server cannot be reached, and the translation of what a
                statement in the block raises.
        """
        async with self._turn:
            if not await self._lives(endpoint):
                self._open[endpoint] = await connect(
                    endpoint,
                    application_name=_APPLICATION,
                    command_timeout_s=_COMMAND_LIMIT_S,
                )
            with translated(endpoint):
                yield self._open[endpoint]

    async def close(self) -> None:
        """Close them all."""
        for connection in self._open.values():
            await close(connection)
        self._open.clear()

    async def _lives(self, endpoint: Endpoint) -> bool:
        connection = self._open.get(endpoint)
        if connection is None:
            return False
        try:
            with translated(endpoint):
                await connection.execute("SELECT")
        except DbopsError:
            await close(connection)
            return False
        return True
