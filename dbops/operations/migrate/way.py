"""Which revisions lead from here to there?"""

from collections.abc import Sequence
from pathlib import Path

from alembic.runtime.migration import RevisionStep
from alembic.script import Script
from alembic.util import CommandError

from dbops.errors import UsageError
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.revisions import readable
from dbops.operations.migrate.targets import check_known, unreachable_target


def steps_to(
    project: Project, target: str, current: Sequence[str]
) -> list[RevisionStep]:
    """Return Alembic's steps from `current` to `target`, in order.

    Raises:
        RefusedError: If the database is ahead of the code, or the project has several
            heads.
        UsageError: If there is no such revision, or no way to it.
        ConfigError: If a revision's file cannot be read.
    """
    if not target:
        raise UsageError("say where to", hint="a revision, head, heads, or +1")
    with readable():
        check_known(project, current)
        try:
            # What Alembic's own `upgrade` command calls.
            return project.script._upgrade_revs(target, tuple(current))  # type: ignore[arg-type] # noqa: SLF001
        except CommandError as error:
            raise unreachable_target(project, target, error) from error


def named(project: Project, revision: str) -> tuple[str, ...]:
    """Return what a name such as `base`, `head` or the start of a revision stands for.

    Raises:
        RefusedError: If it is `head`, and the project has several.
        UsageError: If there is no such revision.
        ConfigError: If a revision's file cannot be read.
    """
    with readable():
        try:
            found = project.script.get_revisions(revision)
        except CommandError as error:
            raise unreachable_target(project, revision, error) from error
    return tuple(script.revision for script in found)


def leaves_transaction(script: Script) -> bool:
    """Whether a revision's source speaks of running outside of its transaction."""
    source = Path(script.path).read_text(encoding="utf-8", errors="replace")
    return "autocommit" in source
