"""What does a revision do to its session while it runs?

Noted are the statement under way, and whether the revision has ended its transaction
before its end: then nobody may run it again.
"""

import re
from contextlib import suppress
from time import perf_counter
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import ExceptionContext

from dbops.operations.migrate.run import Leg
from dbops.operations.migrate.session import Session
from dbops.operations.migrate.stop import Stop

# Cut short, these leave an invalid index behind; and while they wait for a lock,
# nobody waits for them.
# https://www.postgresql.org/docs/current/sql-createindex.html
_CONCURRENTLY = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)
# Also at the end of a text that begins a transaction of its own afterwards.
_ENDS_TRANSACTION = re.compile(
    r"(?:^|;)\s*(COMMIT|END|ROLLBACK|ABORT|PREPARE\s+TRANSACTION)\b"
    r"(?!\s+(WORK\s+|TRANSACTION\s+)?TO\b)",
    re.IGNORECASE,
)
# What is quoted so is the body of a function, or text.
_DOLLAR_QUOTED = re.compile(r"\$(\w*)\$.*?\$\1\$", re.DOTALL)


def watch(connection: Connection, leg: Leg, session: Session, stop: Stop) -> None:
    """Take part in each statement and commit from now on.

    Args:
        connection: What env.py hands to Alembic.
        leg: Filled on the way.
        session: The same connection, below SQLAlchemy.
        stop: Asked before each statement.
    """
    watcher = _Watcher(connection, leg, session, stop)
    event.listen(connection, "before_cursor_execute", watcher.before)
    event.listen(connection, "after_cursor_execute", watcher.after)
    event.listen(connection, "begin", watcher.begun)
    event.listen(connection, "commit", watcher.committed)
    # A revision may open further connections, which nobody rolls back.
    event.listen(connection.engine, "commit", watcher.committed_elsewhere)
    event.listen(connection.engine, "handle_error", watcher.failed)


class _Watcher:
    """Follows one connection."""

    def __init__(
        self, connection: Connection, leg: Leg, session: Session, stop: Stop
    ) -> None:
        self._connection = connection
        self._leg = leg
        self._session = session
        self._stop = stop
        self._has_spoken = False
        """Whether the transaction has got a statement: the driver begins it then."""

    def before(self, *event_arguments: Any) -> None:  # noqa: ANN401 # SQLAlchemy's event
        self._stop.check()
        statement: str = event_arguments[2]
        self._note_end()
        if _CONCURRENTLY.search(statement):
            self._session.suspend_lock_timeout()
        else:
            with suppress(Exception):  # where the transaction has failed, later
                self._session.restore_lock_timeout()
        if _ENDS_TRANSACTION.search(_DOLLAR_QUOTED.sub("''", statement)):
            self._leg.note_end()
        self._leg.statement_s = perf_counter()

    def after(self, *_: object) -> None:
        self._leg.statement_s = None
        self._has_spoken = True
        self._session.restore_lock_timeout()

    def begun(self, _: Connection) -> None:
        self._leg.note_success()
        self._has_spoken = False

    def committed(self, _: Connection) -> None:
        self._leg.note_commit()

    def committed_elsewhere(self, connection: Connection) -> None:
        if connection is not self._connection:
            self._leg.note_end()

    def failed(self, context: ExceptionContext) -> None:
        if context.connection is self._connection:
            self._leg.statement_s = None
            if not self._leg.is_committing:
                self._note_end()

    def _note_end(self) -> None:
        """Notice that the driver has no transaction where SQLAlchemy has one."""
        if self._has_spoken and self._session.has_lost_transaction:
            self._leg.note_end()
