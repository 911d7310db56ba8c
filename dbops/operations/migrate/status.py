"""Where does the database stand against the project's revisions?"""

from typing import Literal

from alembic.util import CommandError
from typing_extensions import override

from dbops.engine.connect import Connectors
from dbops.errors import ConfigError, Outcome
from dbops.operations.migrate.environment import look
from dbops.operations.migrate.project import Project
from dbops.results import Model, Result, Status

State = Literal["at_head", "behind", "ahead", "diverged", "empty"]


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


async def migration_status(connectors: Connectors, project: Project) -> MigrationStatus:
    """Compare the database with the project; changes nothing.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Whose revisions.

    Raises:
        DbopsError: As `Connector.__call__`.
    """
    current = await current_revisions(connectors, project)
    state, pending = _compared(project, current)
    return MigrationStatus(
        status=Status.OK if state == "at_head" else Status.WARN,
        current=current,
        heads=project.heads,
        pending=pending,
        state=state,
    )


async def current_revisions(
    connectors: Connectors, project: Project
) -> tuple[str, ...]:
    """Read the database's version over a fresh connection, the way env.py says.

    Raises:
        DbopsError: As `Connector.__call__`.
    """
    seen: list[str] = []
    await look(connectors, project, lambda revisions, _: seen.extend(revisions))
    return tuple(sorted(seen))


def _compared(
    project: Project, current: tuple[str, ...]
) -> tuple[State, tuple[PendingRevision, ...]]:
    try:
        known = [project.script.get_revision(revision) for revision in current]
    except CommandError:
        return "ahead", ()
    if not project.heads:
        raise ConfigError(
            "this project has no revisions",
            hint="write one, or check version_locations",
            phase="settings",
        )
    if set(current) == set(project.heads):
        return "at_head", ()
    if any(revision is None for revision in known):
        return "diverged", ()
    try:
        steps = project.script.iterate_revisions("heads", current or "base")
        pending = tuple(
            PendingRevision(revision=step.revision, message=step.doc) for step in steps
        )
    except CommandError:
        return "diverged", ()
    return ("behind" if current else "empty"), pending[::-1]
