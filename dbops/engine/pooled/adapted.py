"""What the pooled connections of each driver promise to SQLAlchemy alike.

- A connection that is found dead by the first word that it is to carry is replaced, and
  the word is said again: BEGIN, or a statement that stands by itself and cannot write.
  Later it is not: locks and settings of the session would be gone, and nobody told.
- How its transactions end is believed only as the server says: see `ending`.
- Whether a pooled connection lives is asked in one round trip, and not at all of one
  that was used a moment ago.
"""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.util import await_only, greenlet_spawn

from dbops.engine.pooled.ending import Ending
from dbops.errors import RefusedError, UnreachableError

FRESH_S = 0.5
"""So long after its last use a connection counts as alive."""

# A server from 14 on reports it without a question.
# https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC
READ_ONLY = "default_transaction_read_only"
"""The setting that keeps a statement which stands by itself from writing."""

# The first statement takes the snapshot; BEGIN alone takes none. Both travel together.
# https://www.postgresql.org/docs/current/transaction-iso.html#XACT-REPEATABLE-READ
# https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT
TAKE_SNAPSHOT = "SELECT pg_catalog.pg_current_snapshot();"
"""What is said right after a BEGIN whose snapshot has to be of this moment."""

T = TypeVar("T")


class Adapted(Ending):
    """A pooled connection as SQLAlchemy sees it, beside the class for its driver."""

    opener: Callable[[], Awaitable[Any]] | None
    """Opens another one in its place."""
    preparer: Callable[[Any], None] | None
    """What SQLAlchemy does with each new one."""
    is_unheard: bool
    """Whether nothing has been answered since it was taken from the pool."""
    is_alone: bool
    """Whether the statement stands by itself: it gets no BEGIN, and cannot write."""
    after_begin: str
    """What the next BEGIN takes along."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 # the base's
        super().__init__(*args, **options)
        self.opener = self.preparer = None
        self.is_unheard = True
        self.is_alone = False
        self.after_begin = ""

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

        async def _say_begin(self) -> None: ...

        async def _say_nothing(self) -> object: ...

        def _terminate_force_close(self) -> None: ...

        def _forget(self) -> None: ...


def silent() -> UnreachableError:
    """Return the error for a statement that was not answered in time."""
    return UnreachableError(
        "the server gave no answer in time (query)",
        hint="check the network and the server; DBOPS_COMMAND_TIMEOUT gives it longer",
        phase="query",
    )
