"""Everything that dbops raises on purpose.

DbopsError
├── UsageError          an option or an argument makes no sense
├── ConfigError         settings or a secret are wrong or missing
│   └── CredentialsError    the server refused the user or the password
├── UnreachableError    no answer in time
│   ├── StaleReaderError    the reader has not yet what it was to have
│   ├── NoReaderError       every reader is down or late, and nobody stands in
│   └── CommitUnknownError  nobody answered COMMIT
├── RefusedError        the server, or a guard of dbops, said no
│   └── ReadOnlyError       a write was sent to the reader
├── LockedError         a lock was not obtained in time
├── PendingError        work remains: the schema is not what the code needs
└── FailedError         an answer, and it is bad: the work was tried and failed
    └── TransactionAbortedError     COMMIT of a transaction that had failed before

Each carries one sentence, a hint, and the outcome that the command line turns into
an exit code.
"""

from enum import StrEnum
from typing import ClassVar, NamedTuple, Self


class Outcome(StrEnum):
    """How a command can end; DESIGN's exit codes by name."""

    OK = "ok"
    UNHEALTHY = "unhealthy"
    USAGE = "usage"
    PENDING = "pending"
    CONFIG = "config"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    LOCKED = "locked"
    PARTIAL = "partial"


class Usual(NamedTuple):
    """What an error says of itself where it is raised without words."""

    message: str = ""
    hint: str | None = None
    phase: str | None = None
    sqlstate: str | None = None


class DbopsError(Exception):
    """Base of every error that dbops raises on purpose.

    Args:
        message: One sentence, without a secret; None where the class has its own.
        hint: What to do about it, or None.
        phase: Where it happened: `settings`, `secret`, `resolve`, `connect`, `tls`,
            `auth`, `query`, …
        sqlstate: The server's five-character code, or None when no server spoke.
        retryable: Whether the same call may succeed later; None means the class's
            own default.
    """

    outcome: ClassVar[Outcome]
    retryable: bool = False
    usual: ClassVar[Usual | None] = None

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        phase: str | None = None,
        sqlstate: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        usual = self.usual or Usual()
        # Servers and drivers answer in several lines.
        message = " ".join((message or usual.message).split())
        super().__init__(message)
        self.message = message
        self.hint = hint or usual.hint
        self.phase = phase or usual.phase
        self.sqlstate = sqlstate or usual.sqlstate
        if retryable is not None:
            self.retryable = retryable

    def retold(
        self,
        message: str,
        *,
        hint: str | None = None,
        phase: str | None = None,
        retryable: bool | None = None,
    ) -> Self:
        """Return the same error in other words; what is not given stays as it is."""
        return type(self)(
            message,
            hint=hint or self.hint,
            phase=phase or self.phase,
            sqlstate=self.sqlstate,
            retryable=self.retryable if retryable is None else retryable,
        )


class UsageError(DbopsError):
    """An option or an argument makes no sense."""

    outcome = Outcome.USAGE


class ConfigError(DbopsError):
    """Settings or a secret are malformed, missing or denied."""

    outcome = Outcome.CONFIG


class CredentialsError(ConfigError):
    """The server refused the user or the password."""


class UnreachableError(DbopsError):
    """No answer in time: name, network, TLS, secret store, server starting or full."""

    outcome = Outcome.UNREACHABLE
    retryable = True


class StaleReaderError(UnreachableError):
    """The reader has not yet replayed what was committed."""

    usual = Usual(
        "the reader has not caught up",
        'wait longer, or read with otherwise="writer"',
        "replica",
    )


class NoReaderError(UnreachableError):
    """Every reader is down or later than it may be, and nobody stands in for them."""

    usual = Usual(
        "no reader can be used",
        "see: dbops lag; DBOPS_READER_FALLBACK=writer lets the writer read",
        "replica",
    )


class RefusedError(DbopsError):
    """The server, or a guard of dbops, said no."""

    outcome = Outcome.REFUSED


class ReadOnlyError(RefusedError):
    """A write was sent to the reader."""

    usual = Usual(
        "a write was sent to the reader",
        "write through the writer's session",
        sqlstate="25006",
    )


class LockedError(DbopsError):
    """A lock was not obtained in time."""

    outcome = Outcome.LOCKED
    retryable = True


class PendingError(DbopsError):
    """Work remains, and somebody else was to do it: the schema is not there yet."""

    outcome = Outcome.PENDING
    retryable = True


class FailedError(DbopsError):
    """The work was tried, and it failed."""

    outcome = Outcome.UNHEALTHY


class TransactionAbortedError(FailedError):
    """COMMIT of a transaction that had failed before: the server rolled it back.

    Somebody has caught the error of a statement and gone on; nothing was written.
    """

    usual = Usual(
        "a statement of this transaction had failed: COMMIT rolled it back",
        "let the first error through, or use a savepoint",
        "commit",
    )


class CommitUnknownError(UnreachableError):
    """Nobody answered COMMIT: what was written may be there, or not.

    It is never repeated: find out by reading, or by a key that makes it idempotent.
    """

    retryable = False
    usual = Usual(
        "the connection broke during COMMIT: its outcome is unknown",
        "read whether it is there before writing it again",
        "commit",
    )
