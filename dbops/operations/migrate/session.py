"""The session that env.py runs its revisions in, below SQLAlchemy.

Whatever SQLAlchemy executes begins a transaction in its book-keeping, and Alembic
commits nothing in a transaction that it finds open. What dbops asks and sets goes
through the driver's own cursor, which that book-keeping never sees.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.engine import AdaptedConnection

from dbops.engine.quoting import quoted_literal
from dbops.errors import DbopsError, RefusedError
from dbops.operations.migrate.stop import Stop

# https://www.postgresql.org/docs/current/functions-info.html
LOOK = """
SELECT pg_catalog.pg_backend_pid(),
       pg_catalog.pg_is_in_recovery(),
       pg_catalog.current_setting('transaction_read_only') = 'on',
       pg_catalog.current_database()::text,
       coalesce(pg_catalog.current_schema(), '')::text
"""

# https://www.postgresql.org/docs/current/view-pg-settings.html
_SET = """
SELECT pg_catalog.count(pg_catalog.set_config(w.name, w.value, false))
  FROM (VALUES {wanted}) AS w (name, value, insist)
  JOIN pg_catalog.pg_settings s ON s.name = w.name
 WHERE s.source NOT IN ('session', 'client') AND (w.insist OR s.setting = '0')
"""


# libpq's PQTRANS_IDLE.
# https://www.postgresql.org/docs/current/libpq-status.html
_IDLE = 0
_CANCEL_S = 5.0


class Parameter(NamedTuple):
    """A time-out of the session."""

    name: str
    value: str
    insist: bool = False
    """Whether it also replaces what the role or the database says."""


class Session:
    """A connection of env.py's, asked and set without SQLAlchemy's knowledge.

    Args:
        connection: What env.py hands to Alembic.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        fairy = connection.connection
        self.raw: Any = fairy.dbapi_connection
        self._driver: Any = fairy.driver_connection
        (
            self.pid,
            self.is_standby,
            self.is_read_only,
            self.database,
            self.schema,
        ) = self.ask(LOOK)
        self._lock_timeout: str | None = None

    @property
    def is_in_transaction(self) -> bool:
        """Whether env.py, or Alembic, has a transaction open."""
        return not self._connection.closed and self._connection.in_transaction()

    def ask(self, sql: str) -> tuple[Any, ...]:
        """Return the one row of a statement, and leave no transaction behind."""
        cursor = self.raw.cursor()
        try:
            cursor.execute(sql)
            row = tuple(cursor.fetchone())
        finally:
            cursor.close()
        self._end()
        return row

    def set(self, parameters: Sequence[Parameter]) -> None:
        """Set parameters for the rest of the session, if the server knows them.

        What env.py has set stays, and so does what the role or the database says,
        unless we are to insist.
        """
        wanted = ", ".join(
            f"({quoted_literal(it.name)}, {quoted_literal(it.value)}, {it.insist})"
            for it in parameters
        )
        self.ask(_SET.format(wanted=wanted))

    @property
    def has_lost_transaction(self) -> bool:
        """Whether somebody has ended the transaction without SQLAlchemy's knowledge."""
        if not self.is_in_transaction or self.is_autocommit:
            return False
        if hasattr(self._driver, "is_in_transaction"):  # asyncpg
            return not self._driver.is_in_transaction()
        info = getattr(self._driver, "info", None)  # psycopg, psycopg2
        return getattr(info, "transaction_status", None) == _IDLE

    def suspend_lock_timeout(self) -> None:
        """Let the next statement wait for its locks as long as it takes."""
        if self._lock_timeout is not None:
            return
        (said,) = self.ask("SELECT pg_catalog.current_setting('lock_timeout')")
        self.ask("SELECT pg_catalog.set_config('lock_timeout', '0', false)")
        self._lock_timeout = said

    def restore_lock_timeout(self) -> None:
        """Set what `suspend_lock_timeout` has replaced, if it has."""
        if self._lock_timeout is None:
            return
        value = quoted_literal(self._lock_timeout)
        self.ask(f"SELECT pg_catalog.set_config('lock_timeout', {value}, false)")
        self._lock_timeout = None

    @property
    def is_autocommit(self) -> bool:
        """Whether the driver keeps each statement at once."""
        return bool(getattr(self.raw, "autocommit", False))

    def refusal(self, tenant_schema: str | None) -> DbopsError | None:
        """Say why revisions must not be applied here; None when they may."""
        if tenant_schema is not None and self.schema != tenant_schema:
            return RefusedError(
                f"env.py works in schema {self.schema!r} and not in {tenant_schema!r}",
                hint="create the tenant's schema; env.py must keep its search_path",
                phase="session",
            )
        if self.is_standby or self.is_read_only:
            what = "a standby" if self.is_standby else "read-only"
            return RefusedError(
                f"this server is {what}: revisions cannot be applied to it",
                hint="point DATABASE_URL (or DATABASE_MIGRATION_URL) at the writer",
                phase="session",
                sqlstate="25006",
            )
        announced = self._announced_pid()
        if announced is not None and announced != self.pid:
            return RefusedError(
                "a connection pooler stands in front of the server: a migration's "
                "lock and settings would end up in somebody else's session",
                hint="set DATABASE_MIGRATION_URL to the server's direct address",
                phase="session",
            )
        return None

    def pause(self, pause_s: float, stop: Stop) -> None:
        """Let time pass; an event loop that env.py runs goes on meanwhile."""
        if isinstance(self.raw, AdaptedConnection):
            self.raw.run_async(lambda _: _slept(pause_s))
        stop.wait(pause_s)

    def cancel(self) -> None:
        """Ask the server to end the statement under way; from any thread.

        Only for synchronous drivers: the tasks of the others are cancelled.
        """
        if isinstance(self.raw, AdaptedConnection):
            return
        if hasattr(self._driver, "cancel_safe"):
            # psycopg's other one holds the interpreter until the server answers.
            self._driver.cancel_safe(timeout=_CANCEL_S)
        else:
            self.raw.cancel()

    def _end(self) -> None:
        """End what the driver has begun for us, and nothing that is env.py's."""
        if not self.is_in_transaction:
            self.raw.commit()

    def _announced_pid(self) -> int | None:
        """Return the process that the server named at log-in; poolers name their own.

        https://www.postgresql.org/docs/current/protocol-message-formats.html
        (BackendKeyData)
        """
        for name in ("get_server_pid", "get_backend_pid"):  # asyncpg, psycopg2
            if hasattr(self._driver, name):
                return int(getattr(self._driver, name)())
        pid = getattr(getattr(self._driver, "info", None), "backend_pid", None)
        return None if pid is None else int(pid)


def _slept(pause_s: float) -> Awaitable[None]:
    return asyncio.sleep(pause_s)
