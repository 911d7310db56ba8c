"""Who is in the way while a revision waits for a table?"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from time import perf_counter

from dbops.engine.connect import Connection, Connectors
from dbops.errors import DbopsError
from dbops.operations.migrate.lock import Holder
from dbops.operations.migrate.run import Leg, Run

# https://www.postgresql.org/docs/current/functions-info.html (pg_blocking_pids)
BLOCKERS = """
    SELECT a.pid, a.application_name, a.client_addr::text AS client_addr, a.state,
           a.xact_start::timestamptz(0)::text AS since
      FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids($1)) b
      JOIN pg_catalog.pg_stat_activity a ON a.pid = b
     ORDER BY a.xact_start NULLS LAST
"""

_PAUSE_S = 0.25
# Most statements never wait: looking at each would cost a connection for nothing.
_PATIENCE_S = 0.5


class Blockers:
    """Watches the statement under way from a connection of its own.

    Args:
        connectors: How to reach the database where env.py's engine does not tell.
        patience_s: How long a statement may take before it is looked at, in seconds.
        on_progress: Told who blocks, once for each change.
    """

    def __init__(
        self,
        connectors: Connectors,
        *,
        patience_s: float,
        on_progress: Callable[[str], None],
    ) -> None:
        self.run = Run()
        self.seen: str | None = None
        """Who was in the way last; None when nobody was seen."""
        self._connectors = connectors
        self._patience_s = min(patience_s / 2, _PATIENCE_S)
        self._on_progress = on_progress

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        """Watch for the block."""
        task = asyncio.ensure_future(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        """Look, as long as nothing goes wrong: nobody depends on it."""
        while self._waiting() is None:
            await asyncio.sleep(self._patience_s / 2)
        with suppress(DbopsError):
            async with self.run.leg.beside(self._connectors).session() as connection:
                while True:
                    leg = self._waiting()
                    if leg is not None:
                        await self._look(connection, leg)
                    await asyncio.sleep(min(_PAUSE_S, self._patience_s))

    def _waiting(self) -> Leg | None:
        """Return the leg whose statement takes long; None when there is none."""
        leg = self.run.legs[-1] if self.run.legs else None
        if leg is None or leg.statement_s is None:
            return None
        return leg if perf_counter() - leg.statement_s > self._patience_s else None

    async def _look(self, connection: Connection, leg: Leg) -> None:
        rows = await connection.fetch(BLOCKERS, leg.pid)
        if not rows:
            return
        seen = "; ".join(Holder(*row).described for row in rows)
        if seen != self.seen:
            self.seen = seen
            self._on_progress(f"revision {leg.failing} waits for {seen}")
