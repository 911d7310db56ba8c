"""What one pass through env.py saw and did."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NamedTuple

from alembic.runtime.migration import MigrationInfo
from alembic.script import Script

from dbops.credentials import Credentials
from dbops.endpoint import Endpoint
from dbops.engine.connect import Connector, Connectors
from dbops.errors import DbopsError
from dbops.operations.migrate.migrated import AppliedRevision


class PlannedRevision(NamedTuple):
    """One revision that is to be applied, or taken back."""

    revision: str
    message: str


@dataclass(slots=True)
class Leg:
    """What was done over one connection; env.py may configure several."""

    database: str = ""
    """The database's name, as the server says it."""
    version_table: str = "alembic_version"
    """With its schema, where env.py names one."""
    pid: int | None = None
    """The server process that runs the DDL."""
    endpoint: Endpoint | None = None
    """Where to, as far as env.py's engine tells."""
    dispose: Callable[[], None] | None = None
    """Closes what env.py's engine keeps open; None where only its own loop could."""
    before: tuple[str, ...] = ()
    planned: tuple[PlannedRevision, ...] = ()
    applied: list[AppliedRevision] = field(default_factory=list)
    keeps_transactions: bool = False
    """Whether env.py says itself what a transaction holds."""
    has_run: bool = False
    """Whether Alembic was asked to run on it."""
    is_one_transaction: bool = False
    """Whether env.py holds one transaction around all revisions."""
    is_autocommit: bool = False
    """Whether each statement is kept at once, because env.py wants it so."""
    has_committed: bool = False
    """Whether the revision under way has ended its transaction before its end."""
    expected: tuple[str, ...] = ()
    """The version that what was applied leads to."""
    came_from: tuple[str, ...] = ()
    """The version before the revision that was applied last."""
    statement_s: float | None = None
    """When the statement under way began (perf_counter); None between statements."""
    _since: float = 0.0
    is_committing: bool = False
    """Whether the revision that was applied last may still fail, in its commit."""
    _commit_is_due: bool = False
    _kept: int = 0
    """How many revisions were applied at the last commit."""

    def beside(self, connectors: Connectors) -> Connector:
        """Return how to open another connection to the same database.

        Args:
            connectors: How, where env.py's engine does not tell.

        Raises:
            ConfigError: If nothing says where.
        """
        if self.endpoint is None:
            return connectors.connector("migration")
        return Connector(Credentials.known(self.endpoint))

    @property
    def failing(self) -> str | None:
        """The revision under way; None before the first and after the last."""
        if self.is_committing:
            return self.applied[-1].revision
        if len(self.applied) < len(self.planned):
            return self.planned[len(self.applied)].revision
        return None

    @property
    def survivors(self) -> tuple[AppliedRevision, ...]:
        """What stays of this when the revision under way fails."""
        kept = self._kept if self.is_one_transaction else len(self.applied)
        return tuple(self.applied[: kept - self.is_committing])

    @property
    def is_rolled_back(self) -> bool:
        """Whether the revision that fails leaves nothing behind."""
        return not (self.has_committed or self.is_autocommit)

    def begin(self, before: Sequence[str], steps: Sequence[Any]) -> None:
        """Note where the database stands and what is going to be done."""
        self.before = self.expected = tuple(sorted(before))
        self.planned = tuple(
            PlannedRevision(
                str(step.info.up_revision_id or step.info.source_revision_ids),
                _message(step.info),
            )
            for step in steps
        )
        self.has_run = True
        self._since = perf_counter()

    def note(self, step: MigrationInfo, heads: Collection[str]) -> float:
        """Take a revision down as applied; return its duration in milliseconds."""
        self.came_from, self.expected = self.expected, tuple(sorted(heads))
        now = perf_counter()
        duration_ms = round((now - self._since) * 1000, 3)
        self.applied.append(
            AppliedRevision(
                revision=str(step.up_revision_id),
                message=_message(step),
                duration_ms=duration_ms,
            )
        )
        self._since = now
        # In one transaction, an earlier revision's version is not committed with what
        # that revision has committed.
        self.has_committed = self.has_committed and self.is_one_transaction
        self._commit_is_due = not self.is_one_transaction
        return duration_ms

    def note_end(self) -> None:
        """Take down a COMMIT or ROLLBACK that a revision executes by itself."""
        self.has_committed, self._kept = True, len(self.applied)

    def note_commit(self) -> None:
        """Take down that a commit begins: Alembic's, or one within a revision."""
        self._kept = len(self.applied)
        if not self._commit_is_due:
            self.has_committed = self.failing is not None
        self.is_committing, self._commit_is_due = self._commit_is_due, False

    def note_success(self) -> None:
        """Take down that what was committed last is there."""
        self.is_committing = False


def _message(step: MigrationInfo) -> str:
    revision = step.up_revision
    return revision.doc if isinstance(revision, Script) else ""


@dataclass(slots=True)
class Run:
    """What one pass through env.py saw and did, filled while it runs."""

    legs: list[Leg] = field(default_factory=list)
    refusal: DbopsError | None = None
    """What dbops itself raised inside of env.py, which may have swallowed it."""
    waited_s: float = 0.0
    """How long the lock was waited for, in seconds."""

    @property
    def leg(self) -> Leg:
        """The connection that env.py has configured last."""
        return self.legs[-1]

    @property
    def failing(self) -> str | None:
        """The revision under way; None before the first and after the last."""
        return self.legs[-1].failing if self.legs else None

    @property
    def before(self) -> tuple[str, ...]:
        """The revisions of all databases of env.py."""
        return tuple(sorted({name for leg in self.legs for name in leg.before}))

    @property
    def planned(self) -> tuple[PlannedRevision, ...]:
        """What is to be done, database by database."""
        return tuple(step for leg in self.legs for step in leg.planned)

    @property
    def applied(self) -> tuple[AppliedRevision, ...]:
        """What was done, database by database."""
        return tuple(step for leg in self.legs for step in leg.applied)

    def refuse(self, error: DbopsError) -> DbopsError:
        """Keep an error of ours, in case env.py catches everything; return it."""
        self.refusal = error
        return error
