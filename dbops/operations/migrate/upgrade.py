"""Apply what is pending, one transaction a revision, and prove it afterwards."""

from collections.abc import Sequence
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError

from dbops.engine.connect import Connectors
from dbops.errors import UsageError
from dbops.operations.migrate.apply import Options, apply
from dbops.operations.migrate.follow import followed
from dbops.operations.migrate.migrated import Migrated
from dbops.operations.migrate.project import Project, Steps
from dbops.operations.migrate.targets import check_known, unreachable_target
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
    if not revision:
        raise UsageError("the revision is empty", hint="say head, or leave it out")
    options = options or Options()
    steps = upgrade_steps(project, revision)
    attempts = await apply(connectors, project, steps, options)
    done = await verified(connectors, project, attempts)
    if options.wait_replica_s is None:
        return done
    return await followed(
        connectors,
        done,
        attempts.run.leg,
        limit_s=options.wait_replica_s,
        on_progress=options.on_progress,
    )


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
