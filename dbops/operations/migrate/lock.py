"""One migrator at a time: an advisory lock in the session that runs the DDL.

In that session, so that whoever takes it over after a kill knows that the dead one's
statement has ended too; polled outside of transactions, so that a waiter never stands
in the way of CREATE INDEX CONCURRENTLY.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

from sqlalchemy import Connection, event

from dbops.engine.quoting import quoted_literal
from dbops.errors import LockedError
from dbops.operations.migrate.session import Session
from dbops.operations.migrate.stop import Stop

_HOLDER = """
SELECT a.pid, a.application_name, a.client_addr::text, a.state,
       a.state_change::timestamptz(0)::text
  FROM pg_catalog.pg_locks l
  LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.database = (SELECT oid FROM pg_catalog.pg_database
                      WHERE datname = pg_catalog.current_database())
   AND (l.classid::int8 << 32) | l.objid::int8 = {key}
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL LIMIT 1
"""


class Busy(BaseException):
    """Leaves env.py, which holds a transaction in which nobody may wait."""


class Holder(NamedTuple):
    """Who holds what is waited for; a field is None where the server does not tell."""

    pid: int | None
    application_name: str | None
    client_addr: str | None
    state: str | None
    since: str | None

    @property
    def described(self) -> str:
        """All that is known, for a message."""
        if self.pid is None:
            return "somebody who has just ended"
        return (
            f"pid {self.pid} ({self.application_name or 'no name'} from "
            f"{self.client_addr or 'a local socket'}, "
            f"{self.state or 'state hidden'} since {self.since or 'unknown'})"
        )


def key(version_table: str) -> str:
    """Return the lock's number as SQL; one for each version table.

    An advisory lock belongs to one database, so the key need not name it.
    https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
    """
    name = quoted_literal(f"dbops:migrate:{version_table}")
    return f"pg_catalog.hashtextextended({name}, 0)"


class Lock:
    """The lock of one command, which may pass through env.py several times.

    Args:
        limit_s: How long to wait for other migrators, in seconds.
        stop: Ends the waiting.
        on_progress: Told, once, for whom it is waited.
    """

    def __init__(
        self, limit_s: float, stop: Stop, on_progress: Callable[[str], None]
    ) -> None:
        self._limit_s = limit_s
        self._stop = stop
        self._on_progress = on_progress
        self._is_told = False
        self.waited_s = 0.0
        """How long it was waited for so far, in seconds."""

    def take(self, session: Session, version_table: str) -> None:
        """Wait for the lock; it is given back by `give_back`, or with the session.

        Raises:
            LockedError: If another migrator still has it in the end; it is named.
            Busy: If waiting has to happen outside of env.py.
        """
        started = monotonic() - self.waited_s
        number = key(version_table)
        while not session.ask(f"SELECT pg_catalog.pg_try_advisory_lock({number})")[0]:
            self.waited_s = monotonic() - started
            if self.waited_s >= self._limit_s or not self._is_told:
                self._tell(Holder(*session.ask(_HOLDER.format(key=number))))
            if session.is_in_transaction:
                raise Busy
            session.pause(random.uniform(0.1, 0.2), self._stop)  # noqa: S311 # spreads waiters
        self.waited_s = monotonic() - started

    def _tell(self, holder: Holder) -> None:
        """Name the other migrator: on the way once, and in the end as an error."""
        if self.waited_s >= self._limit_s:
            raise LockedError(
                f"another migration is running: the lock was not free within "
                f"{self._limit_s:g} s; it is held by {holder.described}",
                hint="wait for it, or raise --lock-timeout",
                phase="lock",
            )
        self._is_told = True
        self._on_progress(f"waiting for another migrator: {holder.described}")


def give_back(connection: Connection, session: Session, version_table: str) -> None:
    """Unlock when env.py returns the connection, which its pool may keep open.

    Not before: env.py may commit after Alembic is done.
    """
    unlock = f"SELECT pg_catalog.pg_advisory_unlock({key(version_table)})"

    def returned(raw: Any, _record: object) -> None:  # noqa: ANN401 # SQLAlchemy's event
        if raw is session.raw:
            with suppress(Exception):  # a dead session has no lock
                session.ask(unlock)

    event.listen(connection.engine, "checkin", returned)
