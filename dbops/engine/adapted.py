"""What the pooled connections of each driver promise to SQLAlchemy alike.

- BEGIN that finds its connection dead is said again on a new one: nothing has been done
  yet, so nothing can be done twice.
- So is the first statement that stands by itself, where it cannot write.
- COMMIT that the server answers with ROLLBACK, as it does after an error that somebody
  has swallowed, is an error; so is one that nobody answers, and that is never repeated.
- Whether a pooled connection lives is asked in one round trip, and not at all of one
  that was used a moment ago.
"""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import Connection, ExecutionContext
from sqlalchemy.util import await_only, greenlet_spawn
from typing_extensions import override

from dbops.errors import (
    CommitUnknownError,
    RefusedError,
    TransactionAbortedError,
    UnreachableError,
)

FRESH_S = 0.5
"""So long after its last use a connection counts as alive."""

# A server from 14 on reports it without a question.
# https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC
READ_ONLY = "default_transaction_read_only"
"""The setting that keeps a statement which stands by itself from writing."""

ALONE = "dbops_alone"
"""The execution option of statements that stand by themselves, and cannot write."""

# The first statement takes the snapshot; BEGIN alone takes none. Both travel together.
# https://www.postgresql.org/docs/current/transaction-iso.html#XACT-REPEATABLE-READ
# https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT
TAKE_SNAPSHOT = "SELECT pg_catalog.pg_current_snapshot();"
"""What is said right after a BEGIN whose snapshot has to be of this moment."""

# The server's classes for a connection that broke and for a server that stops: with
# them it says nothing about the fate of a COMMIT.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_NO_ANSWER = ("08", "57P")


class Adapted:
    """A pooled connection as SQLAlchemy sees it, beside the class for its driver."""

    # SQLAlchemy types it by the little that it needs of every driver.
    _connection: Any
    dbapi: Any
    opener: Callable[[], Awaitable[Any]] | None
    """Opens another one in its place."""
    preparer: Callable[[Any], None] | None
    """What SQLAlchemy does with each new one."""
    used_at: float
    """When a transaction ended last."""
    is_unheard: bool
    """Whether nothing has been answered since it was taken from the pool."""
    is_alone: bool
    """Whether the statement stands by itself: it gets no BEGIN, and cannot write."""
    after_begin: str
    """What the next BEGIN takes along."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 # the base's
        super().__init__(*args, **options)
        self.opener = self.preparer = None
        self.used_at = monotonic()
        self.is_unheard = True
        self.is_alone = False
        self.after_begin = ""

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, as far as we have heard."""
        return bool(self._connection.is_closed())

    def ping(self) -> None:
        """Ask whether it lives, unless it was used a moment ago."""
        self.is_unheard, self.is_alone = True, False
        if self.is_closed or monotonic() - self.used_at >= FRESH_S:
            self._ask()

    def speak(self, *, alone: bool) -> None:
        """Say the first word now, so that who is away shows.

        Args:
            alone: Ask a question, because there will be no BEGIN. Else it is BEGIN, and
                its snapshot is taken.
        """
        if alone:
            self._ask()
        elif not self._has_begun():
            self.after_begin = TAKE_SNAPSHOT
            try:
                await_only(self._start_transaction())
            finally:
                self.after_begin = ""

    def stand(self, *, alone: bool) -> None:
        """Let the statement that comes stand by itself, or within a transaction.

        Raises:
            RefusedError: If nothing would keep it from writing.
        """
        if alone and self._connection.reported(READ_ONLY) != "on":
            raise RefusedError(
                "nothing would keep a statement in autocommit mode from writing: a "
                "pooler stands before the reader",
                hint="read without autocommit, or connect to the reader itself",
                phase="query",
            )
        self.is_alone = alone

    def commit(self) -> None:
        """Commit what has begun, and believe what the server says about it."""
        if not self._has_begun():
            return
        try:
            says = await_only(self._say_commit())
        except Exception as error:  # whatever it is, it is no answer
            if not _is_answer(error):
                # Whatever else it was asked could be taken for the answer.
                self._connection.terminate()
                raise CommitUnknownError from error
            self._handle_exception(error)
        self.used_at = monotonic()
        if says == "ROLLBACK":
            raise TransactionAbortedError

    def _ask(self) -> None:
        try:
            await_only(self._say_nothing())
        except TimeoutError as error:
            raise silent() from error
        except Exception as error:  # noqa: BLE001 # translated by the driver's class
            self._handle_exception(error)

    async def _on_a_living_one(self, begin: Callable[[], Awaitable[None]]) -> None:
        """Begin; on a new connection where this one is found dead."""
        try:
            await self._begun(begin)
        except self.dbapi.Error:
            if not await self._is_replaced():
                raise
            await self._begun(begin)

    async def _begun(self, begin: Callable[[], Awaitable[None]]) -> None:
        try:
            await begin()
        except TimeoutError as error:
            raise silent() from error

    async def may_repeat(self) -> bool:
        """Whether what failed can be said again, on the connection there is by now.

        Only if it was the first that was said, and is read only, and stands by itself.
        """
        is_first = self.is_unheard and self.is_alone
        self.is_unheard = False
        return is_first and await self._is_replaced()

    async def _is_replaced(self) -> bool:
        """Open another connection in the place of this one, if it has ended."""
        if self.opener is None or not self.is_closed:
            return False
        self._connection = await self.opener()
        self._forget()
        if self.preparer is not None:
            await greenlet_spawn(self.preparer, self)
        return True

    if TYPE_CHECKING:  # what the class for the driver has

        def _has_begun(self) -> bool: ...

        async def _start_transaction(self) -> None: ...

        async def _say_commit(self) -> str: ...

        async def _say_nothing(self) -> object: ...

        def _forget(self) -> None: ...

        def _handle_exception(self, error: Exception) -> NoReturn: ...


class StandingContext(ExecutionContext):
    """Tells a connection how each statement stands; beside the class for its driver."""

    @override
    def pre_exec(self) -> None:
        super().pre_exec()
        adapted = self.root_connection.connection.dbapi_connection
        assert isinstance(adapted, Adapted)  # as our engines have it  # noqa: S101
        adapted.stand(alone=self.execution_options.get(ALONE, False))


def speak(connection: Connection) -> None:
    """Say a connection's first word now; see `Adapted.speak`.

    Raises:
        DbopsError: If its server cannot be reached.
        DBAPIError: If it gives no answer.
    """
    adapted = connection.connection.dbapi_connection
    assert isinstance(adapted, Adapted)  # as our engines have it  # noqa: S101
    alone = connection.get_execution_options().get(ALONE, False)
    try:
        adapted.speak(alone=alone)
    except BaseException as error:  # noqa: BLE001 # as SQLAlchemy does around BEGIN
        connection._handle_dbapi_exception(error, None, None, None, None)  # noqa: SLF001 # and there is no public way


def silent() -> UnreachableError:
    """Return the error for a statement that was not answered in time."""
    return UnreachableError(
        "the server gave no answer in time (query)",
        hint="check the network and the server; DBOPS_COMMAND_TIMEOUT gives it longer",
        phase="query",
    )


def _is_answer(error: Exception) -> bool:
    """Whether the server has said what became of a COMMIT."""
    state = getattr(error, "sqlstate", None)
    return isinstance(state, str) and not state.startswith(_NO_ANSWER)
