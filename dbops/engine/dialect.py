"""SQLAlchemy's dialect for asyncpg, exact about a transaction's first and last word.

- BEGIN that finds its connection dead is said again on a new one: nothing has been done
  yet, so nothing can be done twice.
- COMMIT that the server answers with ROLLBACK, as it does after an error that somebody
  has swallowed, is an error; so is one that nobody answers, and that is never repeated.
- Whether a pooled connection lives is asked in one round trip instead of three, and not
  at all of one that was used a moment ago.
"""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from sqlalchemy.dialects.postgresql.asyncpg import (
    AsyncAdapt_asyncpg_connection,
    AsyncAdapt_asyncpg_cursor,
    AsyncAdapt_asyncpg_dbapi,
    PGDialect_asyncpg,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.util import await_only, greenlet_spawn
from typing_extensions import override

from dbops.engine.driver import BoundedConnection
from dbops.errors import CommitUnknownError, TransactionAbortedError

FRESH_S = 0.5
"""So long after its last use a connection counts as alive."""

# The server's classes for a connection that broke and for a server that stops: with
# them it says nothing about the fate of a COMMIT.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_NO_ANSWER = ("08", "57P")


class Cursor(AsyncAdapt_asyncpg_cursor):
    """A cursor on whatever connection its adapter has now."""

    __slots__ = ()

    @property  # type: ignore[explicit-override] # an attribute there
    def _connection(self) -> Any:  # noqa: ANN401 # the driver's
        return self._adapt_connection._connection  # noqa: SLF001 # our own below

    @_connection.setter
    def _connection(self, connection: object) -> None:
        """Let the base class set what is always looked up."""


class Adapted(AsyncAdapt_asyncpg_connection):
    """A pooled connection as SQLAlchemy sees it."""

    _cursor_cls = Cursor

    __slots__ = ("opener", "preparer", "used_at")

    # SQLAlchemy types it by the little that it needs of every driver.
    _connection: Any

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 # the base's
        super().__init__(*args, **options)
        self.opener: Callable[[], Awaitable[BoundedConnection]] | None = None
        self.preparer: Callable[[Adapted], None] | None = None
        self.used_at = monotonic()

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, as far as we have heard."""
        return bool(self._connection.is_closed())

    @override
    def ping(self) -> None:
        if self.is_closed or monotonic() - self.used_at >= FRESH_S:
            self._ask()

    def speak(self) -> None:
        """Say the first word now: BEGIN, or a question where there is no BEGIN.

        So who is away shows while another one can still be chosen.
        """
        if self.autocommit:
            self._ask()
        elif self._transaction is None:
            await_only(self._start_transaction())

    def _ask(self) -> None:
        try:
            await_only(self._connection.execute("SELECT"))
        except Exception as error:  # noqa: BLE001 # translated by the base class
            self._handle_exception(error)

    @override
    async def _start_transaction(self) -> None:
        try:
            await super()._start_transaction()
        except self.dbapi.Error:
            if self.opener is None or not self.is_closed:
                raise
            await self._reopen(self.opener)
            await super()._start_transaction()

    async def _reopen(self, opener: Callable[[], Awaitable[BoundedConnection]]) -> None:
        """Take a new connection in the place of a dead one."""
        self._connection = await opener()
        if self._prepared_statement_cache is not None:
            self._prepared_statement_cache.clear()
        if self.preparer is not None:
            await greenlet_spawn(self.preparer, self)

    @override
    def rollback(self) -> None:
        super().rollback()
        self.used_at = monotonic()

    @override
    def commit(self) -> None:
        transaction = self._transaction
        if transaction is None:
            return
        try:
            await_only(self._call_and_discard(transaction.commit))
        except Exception as error:
            if not _is_answer(error):
                # Whatever else it was asked could be taken for the answer.
                self._connection.terminate()
                raise CommitUnknownError from error
            self._handle_exception(error)
        self.used_at = monotonic()
        if self._connection.last_status == "ROLLBACK":
            raise TransactionAbortedError


async def speak(connection: AsyncConnection) -> None:
    """Say a connection's first word now; see `Adapted.speak`.

    Raises:
        DbopsError: If its server cannot be reached.
        DBAPIError: If it gives no answer.
    """
    raw = await connection.get_raw_connection()
    adapted = raw.dbapi_connection
    assert isinstance(adapted, Adapted)  # as our engines have it  # noqa: S101
    await greenlet_spawn(adapted.speak)


class Driver(AsyncAdapt_asyncpg_dbapi):
    """The driver, whose connections can be opened again."""

    @override
    def connect(self, *args: Any, **options: Any) -> Adapted:
        opener = options.pop("async_creator_fn")
        made = await_only(Adapted.create(self, opener(*args), **options))
        made.opener = opener
        return made


class Dialect(PGDialect_asyncpg):
    """What `postgresql+dbops` stands for."""

    supports_statement_cache = True

    @classmethod
    @override
    def import_dbapi(cls) -> Any:
        return Driver(__import__("asyncpg"))

    @override
    def on_connect(self) -> Callable[[Adapted], None]:
        prepare = super().on_connect()

        def connect(connection: Adapted) -> None:
            prepare(connection)
            connection.preparer = prepare

        return connect


def _is_answer(error: Exception) -> bool:
    """Whether the server has said what became of a COMMIT."""
    state = getattr(error, "sqlstate", None)
    return isinstance(state, str) and not state.startswith(_NO_ANSWER)
