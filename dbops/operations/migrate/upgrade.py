"""Apply what is pending, one transaction a revision, and prove it afterwards."""

from collections.abc import Sequence
from typing import Any

from dbops.engine.connect import Connectors
from dbops.errors import FailedError
from dbops.operations.migrate.environment import run_environment
from dbops.operations.migrate.migrated import Migrated
from dbops.operations.migrate.project import Project, Run
from dbops.operations.migrate.status import current_revisions

DEFAULT_LOCK_LIMIT_S = 60.0


async def migrate(
    connectors: Connectors,
    project: Project,
    revision: str = "head",
    *,
    lock_limit_s: float = DEFAULT_LOCK_LIMIT_S,
) -> Migrated:
    """Upgrade the database to `revision`.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Whose revisions.
        revision: A revision, `head`, `heads` or a relative one such as `+1`.
        lock_limit_s: How long to wait for another migrator, in seconds.

    Raises:
        FailedError: If a revision fails; it is named, and what was applied before it
            stays. Also if the version is not what was applied.
        RefusedError: If the database is ahead of the code or a standby, or if the
            project has several heads.
        LockedError: If another migrator does not finish in time.
        DbopsError: As `Connector.__call__`.
    """
    run = Run()

    def upgrade(current: Sequence[str], _context: object) -> list[Any]:
        # What Alembic's own `upgrade` command calls.
        steps = project.script._upgrade_revs(revision, current)  # type: ignore[arg-type] # noqa: SLF001
        run.begin(current, steps)
        return steps

    waited_s = await run_environment(
        connectors, project, run, upgrade, mutate=True, lock_limit_s=lock_limit_s
    )
    after = await current_revisions(connectors, project)
    _check(run, after)
    return Migrated(
        before=run.before,
        after=after,
        applied=tuple(run.applied),
        lock_wait_ms=None if waited_s is None else round(waited_s * 1000, 3),
    )


def _check(run: Run, after: tuple[str, ...]) -> None:
    """Compare what was applied with what a fresh connection reads.

    An env.py that begins a transaction of its own and never commits it reports
    success and leaves nothing.
    """
    if len(run.applied) < len(run.planned):
        raise FailedError(
            f"only {len(run.applied)} of {len(run.planned)} revisions were applied",
            hint="look at what env.py does with the connection",
            phase="verify",
        )
    if run.applied and run.applied[-1].revision not in after:
        raise FailedError(
            f"revision {run.applied[-1].revision} ran, but a fresh connection reads "
            f"{', '.join(after) or 'no version'}: nothing was kept",
            hint="env.py must not run a statement before context.configure(), or must "
            "commit it",
            phase="verify",
        )
