"""What a rehearsal answers."""

from enum import StrEnum
from typing import Literal

from typing_extensions import override

from dbops.errors import Outcome
from dbops.operations.migrate.migrated import InvalidIndex
from dbops.results import Model, Problem, Result, Status


class Blocks(StrEnum):
    """What a lock keeps others from while it is held."""

    READS_AND_WRITES = "reads_and_writes"
    WRITES = "writes"
    SCHEMA_CHANGES = "schema_changes"


class TableLock(Model):
    """The strongest lock that a revision took on one table."""

    table: str
    """The table or view with its schema, quoted where SQL needs it."""
    mode: str
    """As the manual writes it, such as `ACCESS EXCLUSIVE`."""
    blocks: Blocks
    """What others cannot do meanwhile."""
    rows: int | None
    """The real table's rows, as its last ANALYZE estimated them; null when unknown."""
    size_bytes: int | None
    """The real table with its indexes; null when unknown."""


class RehearsedRevision(Model):
    """What one revision did to the copy."""

    revision: str
    """Its identifier."""
    message: str
    """The first line of its docstring."""
    duration_ms: float | None
    """How long it took on empty tables, in milliseconds; null when it failed."""
    transactional: bool | None
    """Whether one transaction held all of it; null when it failed. What is outside of
    one stays behind when a later statement fails."""
    locks: tuple[TableLock, ...] = ()
    """On tables and views that were there before it, the strongest first. Outside of a
    transaction a weak lock may be missed; one that keeps writes out is not."""
    rewritten: tuple[str, ...] = ()
    """Tables whose file was replaced: every row is written again, or truncated."""
    rebuilt: tuple[str, ...] = ()
    """Indexes that were built again, although their tables were not."""
    created: tuple[str, ...] = ()
    """New tables and views, and new indexes of older tables."""
    dropped: tuple[str, ...] = ()
    """Tables and views that are gone, and indexes of tables that stay."""
    error: Problem | None = None
    """Why it failed; null when it did not."""


class Rehearsed(Result):
    """What the pending revisions did to a throw-away copy."""

    starts_from: Literal["schema", "base"]
    """`schema`: a copy of the server's; `base`: nothing, as no server is configured."""
    server_version: str | None
    """The real server's; null when none is configured."""
    copy_version: str
    """The version of the server that the copy lived on."""
    is_same_major: bool | None
    """Whether both are of one major version; locks differ between versions. Null when
    no server is configured."""
    rows_copied: bool = False
    """Never: tables are empty, so times are not those of the real ones, and a step that
    changes rows has found none."""
    before: tuple[str, ...]
    """The database's revisions; empty for a new one."""
    after: tuple[str, ...] | None
    """The copy's revisions at the end; null when one has failed."""
    revisions: tuple[RehearsedRevision, ...]
    """What was applied, in order; the last one may have failed."""
    invalid_indexes: tuple[InvalidIndex, ...] = ()
    """Indexes that a failed CREATE INDEX CONCURRENTLY has left on the copy."""

    @property
    @override
    def problem(self) -> Problem | None:
        """Tell what went wrong on the copy."""
        if self.revisions and self.revisions[-1].error is not None:
            return self.revisions[-1].error
        if self.status != Status.FAIL or not self.invalid_indexes:
            return None
        return Problem(
            type="FailedError",
            message=f"on the copy, index {self.invalid_indexes[0].name} is invalid: a "
            "CREATE INDEX CONCURRENTLY has failed",
            hint="look for what the revision does about the error",
            phase="verify",
            outcome=Outcome.UNHEALTHY,
        )
