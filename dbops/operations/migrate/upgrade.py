"""Apply what is pending, one transaction a revision, and prove it afterwards."""

from collections.abc import Sequence
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError

from dbops.engine.connect import Connectors
from dbops.errors import DbopsError, RefusedError, UsageError
from dbops.operations.migrate.apply import Options, apply
from dbops.operations.migrate.migrated import Migrated
from dbops.operations.migrate.project import Project, Steps
from dbops.operations.migrate.verify import verified


async def migrate(
    connectors: Connectors,
    project: Project,
    revision: str = "head",
    options: Options | None = None,
) -> Migrated:
    """Upgrade the database to `revision`.

    Args:
        connectors: How to reach the database (role `migration`), and the settings.
        project: Whose revisions.
        revision: A revision, `head`, `heads` or a relative one such as `+1`.
        options: How.

    Raises:
        FailedError: If a revision fails; it is named, and what was applied before it
            stays. Also if the version is not what was applied.
        RefusedError: If the database is ahead of the code, a standby or behind a
            pooler, or if the project has several heads.
        UsageError: If the project has no such revision.
        LockedError: If another migrator does not finish, or a table does not become
            free, in time.
        DbopsError: As `Connector.__call__`.
    """
    options = options or Options()
    steps = upgrade_steps(project, revision)
    attempts = await apply(connectors, project, steps, options)
    return await verified(connectors, project, attempts, confine=options.confine)


def upgrade_steps(project: Project, revision: str) -> Steps:
    """Return what leads to `revision`, as Alembic asks for it."""

    def steps(current: Sequence[str], _context: MigrationContext) -> list[Any]:
        check_known(project, current)
        try:
            # What Alembic's own `upgrade` command calls.
            return list(project.script._upgrade_revs(revision, current))  # type: ignore[arg-type] # noqa: SLF001
        except CommandError as error:
            raise unreachable_target(project, revision, error) from error

    return steps


def check_known(project: Project, current: Sequence[str]) -> None:
    """See that this code has the database's revisions.

    Raises:
        RefusedError: If it has not: the database is ahead.
    """
    for name in current:
        try:
            project.script.get_revision(name)
        except CommandError as error:
            raise RefusedError(
                f"the database is ahead of this code: it is at {name}, which this "
                "project does not have",
                hint="deploy the code that has this revision; see: dbops status",
                phase="migrate",
            ) from error


def unreachable_target(
    project: Project, revision: str, error: CommandError
) -> DbopsError:
    """Return what it means that Alembic finds no way to a revision."""
    if "Multiple head" in str(error):
        return RefusedError(
            f"the project has several heads: {', '.join(project.heads)}",
            hint="name one, or heads for all; alembic merge joins them",
            phase="migrate",
        )
    if "Can't locate" in str(error) or "No such revision" in str(error):
        return UsageError(
            f"this project has no revision {revision!r}",
            hint="see: alembic history",
        )
    return UsageError(f"there is no way to {revision!r}: {error}")
