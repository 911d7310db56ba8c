"""What a migration did; imported without Alembic, for whoever finds nothing to do."""

from typing import Self

from typing_extensions import override

from dbops.errors import Outcome
from dbops.results import Model, Problem, Result, Status


class InvalidIndex(Model):
    """An index that no query uses."""

    name: str
    """Its name with the schema, quoted where SQL needs it."""
    table: str
    """Its table, likewise."""
    remedy: str
    """What mends it: SQL, or for an incomplete index what its partitions lack."""


class NotValidConstraint(Model):
    """A constraint that holds for new rows, and was never proved for the old ones."""

    name: str
    """Its name, quoted where SQL needs it."""
    table: str
    """Its table or domain with the schema, likewise."""
    remedy: str
    """The SQL that proves it."""


class AppliedRevision(Model):
    """One revision that was applied, or taken back."""

    revision: str
    """Its identifier."""
    message: str
    """The first line of its docstring."""
    duration_ms: float
    """How long its statements took, in milliseconds."""


class Migrated(Result):
    """What was done, with the database read again afterwards."""

    before: tuple[str, ...]
    """The database's revisions before; empty for a new one."""
    after: tuple[str, ...]
    """Its revisions now, read over a fresh connection."""
    applied: tuple[AppliedRevision, ...]
    """What was applied, in order; empty when nothing was pending."""
    lock_wait_ms: float
    """How long other migrators were waited for, in milliseconds; 0 also where nothing
    was pending and no lock was needed."""
    retries: int = 0
    """How often a revision was tried again after it had waited for a table."""
    invalid_indexes: tuple[InvalidIndex, ...] = ()
    """Indexes that a failed CREATE INDEX CONCURRENTLY has left behind."""
    not_valid_constraints: tuple[NotValidConstraint, ...] = ()
    """Constraints that still wait for their VALIDATE."""
    replica_wait_ms: float | None = None
    """How long the reader was waited for, in milliseconds; null when it was not."""

    @classmethod
    def nothing_pending(cls, version: tuple[str, ...]) -> Self:
        """Return what is said of a database that has every revision already."""
        return cls(before=version, after=version, applied=(), lock_wait_ms=0.0)

    @property
    @override
    def problem(self) -> Problem | None:
        """Tell of invalid indexes: who built one has not got it."""
        if self.status != Status.FAIL:
            return None
        first = self.invalid_indexes[0]
        return Problem(
            type="FailedError",
            message=f"the revisions are applied, and index {first.name} is invalid: "
            "a CREATE INDEX CONCURRENTLY has failed, now or before",
            hint=first.remedy,
            phase="verify",
            outcome=Outcome.UNHEALTHY,
        )
