"""What the pooled connections of each driver promise to SQLAlchemy alike.

- BEGIN that finds its connection dead is said again on a new one: nothing has been done
  yet, so nothing can be done twice.
- COMMIT that the server answers with ROLLBACK, as it does after an error that somebody
  has swallowed, is an error; so is one that nobody answers, and that is never repeated.
- Whether a pooled connection lives is asked in one round trip, and not at all of one
  that was used a moment ago.
"""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.util import await_only, greenlet_spawn

from dbops.errors import CommitUnknownError, TransactionAbortedError

FRESH_S = 0.5
"""So long after its last use a connection counts as alive."""

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

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, as far as we have heard."""
        return bool(self._connection.is_closed())

    def ping(self) -> None:
        """Ask whether it lives, unless it was used a moment ago."""
        if self.is_closed or monotonic() - self.used_at >= FRESH_S:
            self._ask()

    def speak(self) -> None:
        """Say the first word now: BEGIN, or a question where there is no BEGIN.

        So who is away shows while another one can still be chosen.
        """
        if self.autocommit:
            self._ask()
        elif not self._has_begun():
            await_only(self._start_transaction())

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
        except Exception as error:  # noqa: BLE001 # translated by the driver's class
            self._handle_exception(error)

    async def _on_a_living_one(self, begin: Callable[[], Awaitable[None]]) -> None:
        """Begin; on a new connection where this one is found dead."""
        try:
            await begin()
        except self.dbapi.Error:
            if self.opener is None or not self.is_closed:
                raise
            self._connection = await self.opener()
            self._forget()
            if self.preparer is not None:
                await greenlet_spawn(self.preparer, self)
            await begin()

    if TYPE_CHECKING:  # what the class for the driver has
        autocommit: bool

        def _has_begun(self) -> bool: ...

        async def _start_transaction(self) -> None: ...

        async def _say_commit(self) -> str: ...

        async def _say_nothing(self) -> object: ...

        def _forget(self) -> None: ...

        def _handle_exception(self, error: Exception) -> NoReturn: ...


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


def _is_answer(error: Exception) -> bool:
    """Whether the server has said what became of a COMMIT."""
    state = getattr(error, "sqlstate", None)
    return isinstance(state, str) and not state.startswith(_NO_ANSWER)
