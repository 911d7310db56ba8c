"""What the pooled connections of each driver promise to SQLAlchemy alike.

- A connection that is found dead by the first word that it is to carry is replaced, and
  the word is said again: BEGIN, or a statement that stands by itself and cannot write.
  Later it is not: locks and settings of the session would be gone, and nobody told.
- COMMIT that the server answers with ROLLBACK, as it does after an error that somebody
  has swallowed, is an error; so is one that nobody answers, and that is never repeated.
  Every other error of COMMIT means that nothing was committed.
- Whether a pooled connection lives is asked in one round trip, and not at all of one
  that was used a moment ago.
"""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

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

FOR_READING = "dbops_for_reading"
"""The execution option of sessions that may not write, whatever else they ask for."""

# The first statement takes the snapshot; BEGIN alone takes none. Both travel together.
# https://www.postgresql.org/docs/current/transaction-iso.html#XACT-REPEATABLE-READ
# https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT
TAKE_SNAPSHOT = "SELECT pg_catalog.pg_current_snapshot();"
"""What is said right after a BEGIN whose snapshot has to be of this moment."""

T = TypeVar("T")

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
    has_said_commit: bool
    """Whether the last COMMIT has left, as far as the driver knows."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 # the base's
        super().__init__(*args, **options)
        self.opener = self.preparer = None
        self.used_at = monotonic()
        self.is_unheard = True
        self.is_alone = False
        self.after_begin = ""
        self.has_said_commit = self._is_committing = False

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
        self.stand(alone=alone)
        if alone:
            self._ask()
            return
        self.after_begin = TAKE_SNAPSHOT
        try:
            await_only(self.begin())
        finally:
            self.after_begin = ""

    def stand(self, *, alone: bool) -> None:
        """Let the statement that comes stand by itself, or within a transaction.

        Raises:
            RefusedError: If nothing would keep it from writing.
        """
        if alone:
            self.refuse_unguarded()
        self.is_alone = alone

    def refuse_unguarded(self) -> None:
        """Let no statement in autocommit mode read where it could write.

        Raises:
            RefusedError: If nothing would keep it from writing.
        """
        if self._connection.reported(READ_ONLY) != "on":
            raise RefusedError(
                "nothing would keep a statement in autocommit mode from writing: a "
                "pooler stands before the reader, or the writer in its stead",
                hint="read without autocommit, or connect to the reader itself",
                phase="query",
            )

    async def begin(self) -> None:
        """Begin a transaction, unless one has begun or the statement needs none."""
        if self.is_alone or self.autocommit or self._has_begun():
            return
        try:
            await self._begun()
        except self.dbapi.Error:
            if not (self.is_unheard and await self._is_replaced()):
                raise
            await self._begun()
        self.is_unheard = False

    async def said(self, say: Callable[[], Awaitable[T]]) -> T:
        """Say a statement; again where it is the first, alone, and not heard."""
        try:
            told = await say()
        except self.dbapi.Error:
            may_repeat = self.is_unheard and self.is_alone
            if not (may_repeat and await self._is_replaced()):
                raise
            told = await say()
        self.is_unheard = False
        return told

    def commit(self) -> None:
        """Commit what has begun, and believe what the server says about it."""
        if not self._has_begun():
            return
        if self._is_committing:  # by another task, and who knows how that ends
            raise CommitUnknownError
        if self.is_closed:
            raise never_sent()
        self._is_committing = True
        try:
            says = await_only(self._say_commit())
        except Exception as error:  # noqa: BLE001 # whatever it is, its outcome is told
            self._explain(error)
        finally:
            self._is_committing = False
        self.used_at = monotonic()
        if says == "ROLLBACK":
            raise TransactionAbortedError

    def _explain(self, error: Exception) -> NoReturn:
        """Tell what has become of a COMMIT that failed."""
        if _is_answer(error):
            self._handle_exception(error)
        was_closed = self.is_closed
        # Whatever else it was asked could be taken for the answer.
        self._connection.terminate()
        if self.has_said_commit:
            raise CommitUnknownError from error
        if was_closed:
            raise never_sent() from error
        # The driver's own words about its use.
        self._handle_exception(error)

    def rollback(self) -> None:
        """Roll back what has begun; the server does, where the connection ends.

        So that is no failure: one would keep who was cancelled from returning it.
        """
        if self._has_begun() and not self.is_closed:
            try:
                super().rollback()  # type: ignore[misc] # the class for the driver has it
            except TimeoutError:
                self._connection.terminate()
            except self.dbapi.Error:
                if not self.is_closed:
                    raise
        self.used_at = monotonic()

    def terminate(self) -> None:
        """Drop it; at once where it has ended, as nobody who is cancelled may wait.

        SQLAlchemy would not notice who leaves while it replaces a connection.
        """
        if self.is_closed:
            self._terminate_force_close()
        else:
            super().terminate()  # type: ignore[misc] # the class for the driver has it

    def _ask(self) -> None:
        try:
            await_only(self._say_nothing())
        except TimeoutError as error:
            raise silent() from error
        except Exception as error:  # noqa: BLE001 # translated by the driver's class
            self._handle_exception(error)

    async def _begun(self) -> None:
        try:
            await self._say_begin()
        except TimeoutError as error:
            # Who uses it next would wait once more.
            self._connection.terminate()
            raise silent() from error

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
        autocommit: bool

        def _has_begun(self) -> bool: ...

        async def _say_begin(self) -> None: ...

        async def _say_commit(self) -> str: ...

        async def _say_nothing(self) -> object: ...

        def _terminate_force_close(self) -> None: ...

        def _forget(self) -> None: ...

        def _handle_exception(self, error: Exception) -> NoReturn: ...


class StandingContext(ExecutionContext):
    """Tells a connection how each statement stands; beside the class for its driver."""

    @override
    def pre_exec(self) -> None:
        super().pre_exec()
        adapted = self.root_connection.connection.dbapi_connection
        assert isinstance(adapted, Adapted)  # as our engines have it  # noqa: S101
        alone = self.execution_options.get(ALONE, False)
        if adapted.autocommit and self.execution_options.get(FOR_READING):
            adapted.refuse_unguarded()
        # The server keeps a cursor, and its rows come later, within a transaction.
        adapted.stand(alone=alone and not self._is_server_side)

    if TYPE_CHECKING:
        _is_server_side: bool


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


def never_sent() -> UnreachableError:
    """Return the error for a transaction whose COMMIT has not left."""
    return UnreachableError(
        "the connection ended before COMMIT could be sent: nothing was committed",
        hint="try the whole transaction again",
        phase="commit",
    )


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
