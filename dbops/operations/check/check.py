"""Is the database what the code expects, and sound?"""

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from alembic.runtime.migration import MigrationContext

from dbops.engine.connect import Connectors
from dbops.errors import Outcome, UsageError
from dbops.operations.check.baseline import (
    Accepted,
    judged,
    read_baseline,
    write_baseline,
)
from dbops.operations.check.differences import Difference, compared, together
from dbops.operations.check.findings import about_drift, about_objects, about_version
from dbops.operations.check.questions import Drift
from dbops.operations.check.verdict import (
    Checked,
    HeadsChecked,
    heads_finding,
)
from dbops.operations.migrate.environment import look
from dbops.operations.migrate.heads import Heads, heads_of
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.proof import (
    InvalidIndex,
    NotValidConstraint,
    incomplete_indexes,
    invalid_indexes,
    not_valid_constraints,
)
from dbops.operations.migrate.status import MigrationStatus, migration_status
from dbops.results import Status


@dataclass(slots=True)
class _Seen:
    """What the database showed, filled while env.py runs."""

    compare: bool
    found: list[tuple[Difference, ...] | None] = field(default_factory=list)
    invalid: set[InvalidIndex] = field(default_factory=set)
    incomplete: set[InvalidIndex] = field(default_factory=set)
    not_valid: set[NotValidConstraint] = field(default_factory=set)

    def ask(self, current: tuple[str, ...], context: MigrationContext) -> None:
        """Ask one database of env.py."""
        connection = context.connection
        assert connection is not None  # only --sql has none  # noqa: S101
        self.invalid.update(invalid_indexes(connection))
        self.incomplete.update(incomplete_indexes(connection))
        self.not_valid.update(not_valid_constraints(connection))
        if self.compare:
            self.found.append(compared(current, context))


def check_heads(project: Project) -> HeadsChecked:
    """Say whether the project has one head; asks no database.

    Raises:
        ConfigError: If the revisions cannot be read.
    """
    return HeadsChecked.of(heads_of(project))


async def check(
    connectors: Connectors,
    project: Project,
    *,
    drift: bool = True,
    baseline: Path | None = None,
    accept: bool = False,
) -> Checked:
    """Check heads, version, models, indexes and constraints; changes no database.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Whose revisions and models.
        drift: Whether to compare the models with the database. That happens at head
            only: elsewhere every pending revision would look like a difference.
        baseline: A file of accepted differences.
        accept: Write every difference that is found into that file.

    Raises:
        UsageError: If there is nothing to accept into, or nothing that is compared.
        ConfigError: If the revisions or the baseline cannot be read.
        RefusedError: If the baseline cannot be written.
        DbopsError: As `migration_status`.
    """
    if accept and (baseline is None or not drift):
        raise UsageError(
            "nothing can be accepted without a baseline and a comparison",
            hint="dbops check --baseline FILE --accept",
        )
    heads = heads_of(project)
    entries = read_baseline(baseline) if baseline is not None and not accept else ()
    status = await migration_status(connectors, project)
    seen = _Seen(compare=drift and status.state == "at_head")
    await look(connectors, project, seen.ask)
    found = together(seen.found) if seen.compare else ()
    written = False
    if accept and baseline is not None and seen.compare and found is not None:
        write_baseline(baseline, found)
        entries, written = read_baseline(baseline), True
    return _checked(heads, status, seen, found, entries, written=written)


def _checked(
    heads: Heads,
    status: MigrationStatus,
    seen: _Seen,
    found: tuple[Difference, ...] | None,
    entries: tuple[Accepted, ...],
    *,
    written: bool,
) -> Checked:
    marked, stale = judged(found or (), entries)
    if not seen.compare or found is None:
        stale = ()
    drift = _drift(marked, compared=seen.compare, known=found is not None)
    invalid = tuple(sorted(seen.invalid, key=lambda index: index.name))
    incomplete = tuple(sorted(seen.incomplete, key=lambda index: index.name))
    not_valid = tuple(sorted(seen.not_valid, key=lambda each: (each.table, each.name)))
    parts = [about_objects(invalid, not_valid, incomplete), about_version(status)]
    if status.state in ("ahead", "diverged"):
        parts.reverse()
    findings = (
        *heads_finding(heads),
        *chain(*parts),
        *about_drift(drift, marked, stale),
    )
    checked = Checked(
        heads=heads.heads,
        fork_points=heads.fork_points,
        merge=heads.merge,
        current=status.current,
        state=status.state,
        pending=status.pending,
        drift=drift,
        differences=marked,
        stale=stale,
        invalid_indexes=invalid,
        incomplete_indexes=incomplete,
        not_valid_constraints=not_valid,
        findings=findings,
        baseline_written=written,
    )
    return checked.model_copy(update={"status": _status(checked)})


def _drift(marked: tuple[Difference, ...], *, compared: bool, known: bool) -> Drift:
    if not compared:
        return "not_compared"
    if not known:
        return "unknown"
    return "none" if all(each.accepted for each in marked) else "found"


def _status(checked: Checked) -> Status:
    if checked.outcome == Outcome.OK:
        return Status.WARN if checked.findings else Status.OK
    is_sound = not (checked.invalid_indexes or checked.not_valid_constraints)
    undecided = checked.drift == "unknown" and is_sound
    if undecided and checked.outcome == Outcome.UNHEALTHY:
        return Status.UNKNOWN
    return Status.FAIL
