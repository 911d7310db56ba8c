"""Write a version into the database without running anything, once it is true."""

from collections.abc import Sequence
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError

from dbops.engine.connect import Connectors
from dbops.errors import RefusedError
from dbops.operations.check.differences import differences
from dbops.operations.migrate.apply import Options, apply
from dbops.operations.migrate.migrated import Migrated
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.targets import unreachable_target
from dbops.operations.migrate.verify import verified

_SHOWN = 3


async def stamp(
    connectors: Connectors,
    project: Project,
    revision: str,
    *,
    force: bool = False,
    options: Options | None = None,
) -> Migrated:
    """Declare the database to be at `revision`; nothing is applied.

    Only the newest revisions can be verified: the models are what they lead to.

    Args:
        connectors: How to reach the database (role `migration`), and the settings.
        project: Whose revisions, and whose models.
        revision: Which; `head`, `heads` or `base` too.
        force: Do not compare the database with the models.
        options: How.

    Raises:
        RefusedError: If the database is not what the models say, or nobody can tell;
            also a standby, or a database ahead of the code.
        UsageError: If the project has no such revision.
        LockedError: If another migrator does not finish in time.
        DbopsError: As `Connector.__call__`.
    """
    options = options or Options()
    wanted = _wanted(project, revision)
    if not force:
        await _verify(connectors, project, wanted)

    def steps(current: Sequence[str], _context: MigrationContext) -> list[Any]:
        try:
            # What Alembic's own `stamp` command calls.
            return list(project.script._stamp_revs(wanted or "base", current))  # type: ignore[arg-type] # noqa: SLF001
        except CommandError as error:
            raise RefusedError(
                f"the database is at {', '.join(current)}, from where there is no way: "
                f"{error}",
                hint="alembic stamp --purge forgets what the database says",
                phase="migrate",
            ) from error

    attempts = await apply(connectors, project, steps, options)
    return await verified(connectors, project, attempts)


def _wanted(project: Project, revision: str) -> tuple[str, ...]:
    """Return the identifiers that a name stands for; none for base."""
    if revision == "base":
        return ()
    try:
        scripts = project.script.get_revisions(revision)
    except CommandError as error:
        raise unreachable_target(project, revision, error) from error
    return tuple(script.revision for script in scripts)


async def _verify(
    connectors: Connectors, project: Project, wanted: tuple[str, ...]
) -> None:
    """See that the database is what the models say.

    Raises:
        RefusedError: If it is not, or nobody can tell.
    """
    if set(wanted) != set(project.heads):
        raise RefusedError(
            "only the newest revision can be verified, because the models are what "
            "it leads to",
            hint="stamp head, or repeat it with --force if you are certain",
            phase="verify",
        )
    found = await differences(connectors, project)
    if found is None:
        raise RefusedError(
            "env.py names no models (target_metadata): nobody can tell whether the "
            "database is at this revision",
            hint="repeat it with --force if you are certain",
            phase="verify",
        )
    if found:
        first = "; ".join(it.message for it in found[:_SHOWN])
        raise RefusedError(
            f"the database differs from the models in {len(found)} "
            f"place{'s' if len(found) > 1 else ''}: {first}",
            hint="migrate it, or repeat it with --force if you are certain",
            phase="verify",
        )
