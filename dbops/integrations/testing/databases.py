"""How do databases come and go on the run's servers?"""

import re
import uuid
from contextlib import suppress

from dbops.engine.quoting import quoted_identifier
from dbops.errors import StaleReaderError, UnreachableError
from dbops.integrations.testing.connections import Connections
from dbops.integrations.testing.database import PairDatabase
from dbops.integrations.testing.servers import PREFIX
from dbops.integrations.testing.thread import LoopThread
from dbops.local.state import Pair

_STRATEGY_SINCE = 15
_LABEL_LETTERS = 40
_REPLAY_LIMIT_S = 30.0
_POLL_S = 0.002
# By the server's clock: a test may have stopped ours.
_PAUSE = f"SELECT pg_catalog.pg_sleep({_POLL_S})"

# CREATE DATABASE waits 5 s for sessions on its template, and then fails.
_FREE = """
    SELECT count(pg_catalog.pg_terminate_backend(a.pid))
      FROM pg_catalog.pg_stat_activity a WHERE a.datname = $1::text
"""
_STATUS = "SELECT pg_catalog.pg_xact_status($1::text::pg_catalog.xid8)"
_POSITION = "SELECT pg_catalog.pg_current_wal_flush_lsn()::text"
_HAS_REPLAYED = """
    SELECT NOT pg_catalog.pg_is_in_recovery()
           OR pg_catalog.pg_last_wal_replay_lsn() >= $1::text::pg_catalog.pg_lsn
"""


class Databases:
    """Makes and drops databases, over one connection to each server.

    Args:
        thread: Where the connections live.
        pair: The servers.
    """

    def __init__(self, thread: LoopThread, pair: Pair) -> None:
        self._thread, self._pair = thread, pair
        self._connections = Connections()

    def create(self, label: str, template: str = "template0") -> PairDatabase:
        """Make a database.

        Args:
            label: What its name is to tell; letters, digits and _ of it are used.
            template: Which one to copy; whoever is connected to that is cut off.

        Raises:
            DbopsError: If the server cannot, or is gone.
        """
        name = _new_name(label)
        position = self._thread.call(self._create(name, template))
        pair, has_replayed = self._pair, set[str]()

        def wait() -> None:
            if name not in has_replayed:
                self._thread.call(self._replayed(position))
                has_replayed.add(name)

        return PairDatabase(
            name=name,
            writer=pair.writer.with_database(name),
            replica=pair.reader.with_database(name),
            wait=wait,
            follow=lambda: self._thread.call(self._follow()),
            password_file=pair.folder / "password",
        )

    def close(self) -> None:
        """Close our connections."""
        self._thread.call(self._connections.close())

    def drop(self, database: PairDatabase) -> None:
        """Drop a database; whoever is connected to it is cut off.

        Raises:
            DbopsError: If the server cannot, or is gone.
        """
        self._thread.call(self._drop(database.name))

    def discard(self, database: PairDatabase) -> None:
        """Drop a database at the end of a run; a server that is gone has none.

        Raises:
            DbopsError: If the server cannot.
        """
        with suppress(UnreachableError):
            self.drop(database)

    def has_committed(self, transaction: str) -> bool:
        """Say whether a transaction was committed, in whichever database.

        Raises:
            DbopsError: If the server is gone.
        """
        return self._thread.call(self._has_committed(transaction))

    async def _has_committed(self, transaction: str) -> bool:
        async with self._connections.to(self._pair.writer) as writer:
            return bool(await writer.fetchval(_STATUS, transaction) == "committed")

    async def _create(self, name: str, template: str) -> str:
        """Copy `template`; return how far the standby has to come to have it."""
        async with self._connections.to(self._pair.writer) as writer:
            await writer.fetchval(_FREE, template)
            major = writer.get_server_version().major
            # Quick where nothing is synced to a disk, and small on the way to the
            # standby, which copies its own files.
            strategy = "STRATEGY file_copy" if major >= _STRATEGY_SINCE else ""
            await writer.execute(
                f"CREATE DATABASE {quoted_identifier(name)} "
                f"TEMPLATE {quoted_identifier(template)} {strategy}"
            )
            return str(await writer.fetchval(_POSITION))

    async def _drop(self, name: str) -> None:
        async with self._connections.to(self._pair.writer) as writer:
            quoted = quoted_identifier(name)
            await writer.execute(f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")

    async def _follow(self) -> None:
        async with self._connections.to(self._pair.writer) as writer:
            position = str(await writer.fetchval(_POSITION))
        await self._replayed(position)

    async def _replayed(self, position: str) -> None:
        """Wait until the standby has come to `position`.

        Raises:
            StaleReaderError: If it does not.
        """
        async with self._connections.to(self._pair.reader) as reader:
            for _ in range(round(_REPLAY_LIMIT_S / _POLL_S)):
                if await reader.fetchval(_HAS_REPLAYED, position):
                    return
                await reader.fetchval(_PAUSE)
        raise StaleReaderError(
            "the standby has not replayed what the writer has written within "
            f"{_REPLAY_LIMIT_S:g} s",
            hint="let no test leave its replay paused or delayed",
        )


def _new_name(label: str) -> str:
    """Return a name that nothing else has, and that tells what it is for."""
    plain = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[:_LABEL_LETTERS]
    return f"{PREFIX}{plain.rstrip('_')}_{uuid.uuid4().hex[:8]}"
