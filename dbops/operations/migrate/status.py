"""Where does the database stand against the project's revisions?"""

from collections.abc import Sequence
from typing import Literal

from alembic.util import CommandError
from typing_extensions import override

from dbops.engine.connect import Connectors
from dbops.errors import ConfigError, Outcome
from dbops.operations.migrate.environment import look
from dbops.operations.migrate.project import Project
from dbops.results import Checked, Measure, Model, Result, Status

State = Literal["at_head", "behind", "ahead", "diverged", "empty"]


_WORST: tuple[State, ...] = ("at_head", "behind", "empty", "diverged", "ahead")


class PendingRevision(Model):
    """One revision that the database does not have yet."""

    revision: str
    """Its identifier."""
    message: str
    """The first line of its docstring."""


class MigrationStatus(Result):
    """The database's version beside the project's."""

    current: tuple[str, ...]
    """The revisions that the database says it has; empty before the first."""
    heads: tuple[str, ...]
    """The newest revisions of the project."""
    pending: tuple[PendingRevision, ...]
    """What `dbops migrate` would apply, in order."""
    state: State
    """`ahead`: the database has a revision that this code does not know."""

    @property
    @override
    def outcome(self) -> Outcome:
        """Pending where `dbops migrate` helps, refused where only newer code does."""
        match self.state:
            case "at_head":
                return Outcome.OK
            case "behind" | "empty":
                return Outcome.PENDING
            case "ahead" | "diverged":
                return Outcome.REFUSED

    @override
    def checked(self) -> Sequence[Checked]:
        status = Status.OK
        if self.outcome is not Outcome.OK:
            is_pending = self.outcome is Outcome.PENDING
            status = Status.WARN if is_pending else Status.FAIL
        return [Checked("version", "version of the database", status, self._sentence)]

    @override
    def measures(self) -> Sequence[Measure]:
        # From an unknown revision nobody can count what is missing.
        is_counted = self.outcome is not Outcome.REFUSED
        return [
            Measure(
                "migrations_pending",
                float(len(self.pending)) if is_counted else None,
                warn=1,
                about="Revisions that the database does not have yet.",
            )
        ]

    @property
    def _sentence(self) -> str:
        current = ", ".join(self.current) or "no revision"
        match self.state:
            case "at_head":
                return f"the database is at head: {current}"
            case "behind" | "empty":
                steps = ", ".join(it.revision for it in self.pending)
                return f"the database is at {current}; pending: {steps}"
            case "ahead":
                return f"the database is at {current}, which this code does not know"
            case "diverged":
                heads = ", ".join(self.heads)
                return f"the database is at {current}; no upgrade leads to {heads}"


async def migration_status(connectors: Connectors, project: Project) -> MigrationStatus:
    """Compare the database with the project; changes nothing.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Whose revisions.

    Raises:
        DbopsError: As `Connector.__call__`.
    """
    versions = await current_versions(connectors, project)
    if not project.heads:
        raise ConfigError(
            "this project has no revisions",
            hint="write one, or check version_locations",
            phase="settings",
        )
    compared = [compare_version(project, version) for version in versions]
    states: list[State] = [state for state, _ in compared]
    state = max(states, key=_WORST.index) if states else "at_head"
    pending = {step.revision: step for _, steps in compared for step in steps}
    return MigrationStatus(
        status=Status.OK if state == "at_head" else Status.WARN,
        current=tuple(sorted({name for version in versions for name in version})),
        heads=project.heads,
        pending=tuple(pending.values()),
        state=state,
    )


async def current_versions(
    connectors: Connectors, project: Project
) -> tuple[tuple[str, ...], ...]:
    """Read the version of each database of env.py, over a fresh connection.

    Raises:
        DbopsError: As `look`.
    """
    seen: list[tuple[str, ...]] = []
    await look(connectors, project, lambda version, _: seen.append(version))
    return tuple(seen)


def compare_version(
    project: Project, current: tuple[str, ...]
) -> tuple[State, tuple[PendingRevision, ...]]:
    """Compare a version with the project's revisions; needs no database.

    Args:
        project: Whose revisions.
        current: The rows of a version table.
    """
    try:
        for name in current:
            project.script.get_revision(name)
    except CommandError:
        return "ahead", ()
    try:
        # What Alembic's own `upgrade` command calls: what another head depends on is
        # there without being in the version table.
        steps = project.script._upgrade_revs("heads", current)  # type: ignore[arg-type] # noqa: SLF001
    except CommandError:
        return "diverged", ()
    pending = tuple(
        PendingRevision(revision=step.revision.revision, message=step.revision.doc)
        for step in steps
    )
    if not pending:
        return "at_head", ()
    return ("behind" if current else "empty"), pending
