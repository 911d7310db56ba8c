"""The driver's connection, which ends in time whatever happens."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import asyncpg
from typing_extensions import override

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # not generic at run time

CLOSE_TIMEOUT_S = 2.0
"""How long a connection may take at most to cancel its statement and say goodbye."""


class EndsOnce:
    """Ends once, whoever closes it; beside the class for its driver."""

    __slots__ = ()

    close_limit_s: float
    _ending: asyncio.Task[None] | None

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 # the drivers' own
        """Cancel what the connection does, say goodbye, and be closed.

        A cancellation is raised only once the connection has ended.
        """
        if self._ending is None:
            limit_s = min(self.close_limit_s, timeout or self.close_limit_s)
            self._ending = asyncio.create_task(self._end(limit_s))  # type: ignore[misc] # a slot of the class beside it
        await to_its_end(self._ending)

    async def _end(self, limit_s: float) -> None:
        """End within the limit, and raise nothing."""
        raise NotImplementedError


class BoundedConnection(EndsOnce, Connection):
    """A connection that is closed within `close_limit_s`, also by SQLAlchemy.

    The driver's own `close` waits for ever on a frozen network, and a second
    cancellation stops it before the server was told to cancel the statement.
    """

    __slots__ = ("_ending", "after_begin", "close_limit_s", "last_status")

    def __init__(
        self,
        protocol: Any,  # noqa: ANN401 # the driver's own, as all that follows
        transport: asyncio.Transport,
        *args: Any,  # noqa: ANN401 # see above
    ) -> None:
        self.close_limit_s = CLOSE_TIMEOUT_S
        self.after_begin = ""
        self.last_status = ""
        self._ending: asyncio.Task[None] | None = None
        try:
            super().__init__(protocol, transport, *args)
        except Exception:
            # A server that kept its version to itself: nobody else would hang up.
            self._aborted = True
            transport.abort()
            raise

    @override
    async def execute(
        self, query: str, *args: object, timeout: float | None = None
    ) -> str:
        """Execute, and remember what the server says that it has done.

        It answers COMMIT with ROLLBACK where the transaction had failed before. What is
        to follow a BEGIN at once, `after_begin`, goes along with the next.
        """
        if self.after_begin:
            query += self.after_begin
            self.after_begin = ""
        self.last_status = await super().execute(query, *args, timeout=timeout)
        return self.last_status

    def counter(self) -> Callable[[], int]:
        """Return what counts the statements that have left, also once it is closed.

        What the driver refuses to send is none of them.
        """
        protocol = self._protocol  # type: ignore[attr-defined] # asyncpg shows it nowhere else
        return lambda: int(protocol.queries_count)

    def reported(self, name: str) -> str | None:
        """Return a setting that the server reports by itself; None for any other."""
        value: str | None = getattr(self.get_settings(), name, None)
        return value

    @override
    def terminate(self) -> None:
        """Drop the connection, unless it is ending by itself already."""
        if self._ending is None or self._ending.done():
            super().terminate()

    @override
    async def _end(self, limit_s: float) -> None:
        try:
            await Connection.close(self, timeout=limit_s)
        except Exception:  # noqa: BLE001 # whatever the reason, it has to go
            super().terminate()


async def to_its_end(task: asyncio.Task[None]) -> None:
    """Wait for a task that has to end; a cancellation is raised only then."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def close(connection: Connection) -> None:
    """Close a connection within a bound; what its statement does is cancelled first."""
    await connection.close()
