"""What does each revision lock and change? Asked in its own session."""

import re
from dataclasses import dataclass, field
from typing import Any

from alembic.runtime.migration import MigrationInfo
from sqlalchemy import Connection, event

from dbops.errors import DbopsError, RefusedError
from dbops.operations.migrate.run import Leg
from dbops.operations.migrate.session import Session
from dbops.operations.rehearse.catalog import RELATIONS, Catalog, Change, change
from dbops.operations.rehearse.modes import strength
from dbops.operations.rehearse.observer import Observer

# Two servers do not start in one microsecond, and their ports differ besides.
# https://www.postgresql.org/docs/current/functions-info.html
IDENTITY = """
SELECT extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text
       || ' ' || pg_catalog.current_setting('port')
       || ' ' || pg_catalog.current_database()
"""

# All locks are held until the transaction ends.
_LOCKS = """
SELECT l.relation::int8, l.mode FROM pg_catalog.pg_locks l
 WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
                      WHERE d.datname = pg_catalog.current_database())
"""
_TRANSACTION = "SELECT pg_catalog.pg_current_xact_id_if_assigned()::text"
_ENDS_TRANSACTION = re.compile(
    r"\s*(COMMIT|END|ROLLBACK|ABORT)\b(?!\s+TO\b)", re.IGNORECASE
)

Locks = set[tuple[int, str]]
"""Oid of a relation, and a mode as pg_locks writes it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one revision did."""

    revision: str
    duration_ms: float
    transactional: bool
    locks: dict[str, str]
    """Name of a table that was there before → the strongest mode."""
    change: Change


@dataclass(slots=True)
class Watch:
    """Looks on while revisions are applied; called from env.py's thread."""

    identity: str
    """What IDENTITY says on the copy."""
    catalog: Catalog
    """Before the first revision."""
    observer: Observer
    seen: list[Seen] = field(default_factory=list)
    _locks: Locks = field(default_factory=set)
    _earlier: tuple[str | None, Locks] = (None, set())
    """The transaction of the revision before, and what it held at its end."""
    _has_committed: bool = False
    _commit_is_due: bool = False

    def guard(self, connection: Connection, session: Session) -> DbopsError | None:
        """Refuse a session that is not the copy's; look on in any other."""
        (found,) = session.ask(IDENTITY)
        if found != self.identity:
            return RefusedError(
                "env.py connects to a server of its own, and not to the throw-away "
                "copy: nothing was applied",
                hint="let it take its connection from sqlalchemy.url or from "
                "config.attributes['connection'], without creator= and without a "
                "connection that a driver made",
                phase="rehearse",
            )
        event.listen(connection, "before_cursor_execute", self._before)
        event.listen(connection, "after_cursor_execute", self._after)
        event.listen(connection, "commit", self._committing)
        return None

    def applied(
        self, connection: Connection, leg: Leg, step: MigrationInfo, duration_ms: float
    ) -> None:
        """Note what a revision did, in its own transaction."""
        before = self.catalog.without(leg.version_table)
        held = _held(connection)
        ((transaction,),) = _asked(connection, _TRANSACTION)
        is_same = transaction is not None and transaction == self._earlier[0]
        # env.py may hold one transaction around all revisions.
        locks = self._locks | (held - self._earlier[1] if is_same else held)
        after = Catalog.of(_asked(connection, RELATIONS))
        self.seen.append(
            Seen(
                revision=str(step.up_revision_id),
                duration_ms=duration_ms,
                transactional=not (self._has_committed or leg.is_autocommit),
                locks=_strongest(locks, before),
                change=change(before, after.without(leg.version_table)),
            )
        )
        self.catalog, self._earlier = after, (transaction, held)
        self._locks, self._has_committed = set(), False
        self._commit_is_due = not leg.is_one_transaction

    def _before(self, connection: Connection, *rest: Any) -> None:  # noqa: ANN401 # SQLAlchemy's event
        statement: str = rest[1]
        if _is_autocommit(connection):
            # Alembic's autocommit_block has committed what was before it.
            self._has_committed = True
            ((pid,),) = _asked(connection, "SELECT pg_catalog.pg_backend_pid()")
            self.observer.begin(pid)
        elif _ENDS_TRANSACTION.match(statement):
            self._has_committed = True
            self._locks |= _held(connection)

    def _after(self, connection: Connection, *_: Any) -> None:  # noqa: ANN401 # same
        if _is_autocommit(connection):
            self._locks |= self.observer.end()

    def _committing(self, connection: Connection) -> None:
        if not self._commit_is_due:
            self._has_committed = True
            self._locks |= _held(connection)
        self._commit_is_due = False


def _held(connection: Connection) -> Locks:
    return {(row[0], row[1]) for row in _asked(connection, _LOCKS)}


def _strongest(locks: Locks, before: Catalog) -> dict[str, str]:
    found: dict[str, str] = {}
    for oid, mode in sorted(locks, key=lambda lock: strength(lock[1])):
        relation = before.relations.get(oid)
        if relation is not None and not relation.is_index:
            found[relation.name] = mode
    return dict(reversed(found.items()))


def _is_autocommit(connection: Connection) -> bool:
    return bool(getattr(connection.connection.dbapi_connection, "autocommit", False))


def _asked(connection: Connection, sql: str) -> list[Any]:
    """Ask below SQLAlchemy, which would note a transaction of its own."""
    dbapi: Any = connection.connection.dbapi_connection
    cursor = dbapi.cursor()
    try:
        cursor.execute(sql)
        return list(cursor.fetchall())
    finally:
        cursor.close()
