"""How a transaction ends, and what is known of that.

COMMIT that the server answers with ROLLBACK, as it does after an error that somebody
has swallowed, is an error; so is one that nobody answers, and that is never repeated.
Every other error of COMMIT means that nothing was committed.
"""

from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy.util import await_only

from dbops.errors import CommitUnknownError, TransactionAbortedError, UnreachableError

# The server's classes for a connection that broke and for a server that stops: with
# them it says nothing about the fate of a COMMIT.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_NO_ANSWER = ("08", "57P")


class Ending:
    """The last words of a pooled connection, beside the class for its driver."""

    # SQLAlchemy types it by the little that it needs of every driver.
    _connection: Any
    dbapi: Any
    used_at: float
    """When a transaction ended last."""
    has_said_commit: bool
    """Whether the last COMMIT has left, as far as the driver knows."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 # the base's
        super().__init__(*args, **options)
        self.used_at = monotonic()
        self.has_said_commit = self._is_committing = False

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, as far as we have heard."""
        return bool(self._connection.is_closed())

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

    if TYPE_CHECKING:  # what the class for the driver has

        def _has_begun(self) -> bool: ...

        async def _say_commit(self) -> str: ...

        def _handle_exception(self, error: Exception) -> NoReturn: ...


def never_sent() -> UnreachableError:
    """Return the error for a transaction whose COMMIT has not left."""
    return UnreachableError(
        "the connection ended before COMMIT could be sent: nothing was committed",
        hint="try the whole transaction again",
        phase="commit",
    )


def _is_answer(error: Exception) -> bool:
    """Whether the server has said what became of a COMMIT."""
    state = getattr(error, "sqlstate", None)
    return isinstance(state, str) and not state.startswith(_NO_ANSWER)
