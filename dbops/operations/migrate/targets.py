"""Which revisions does this code know, and is there a way to the one asked for?"""

from collections.abc import Sequence

from alembic.util import CommandError

from dbops.errors import DbopsError, RefusedError, UsageError
from dbops.operations.migrate.project import Project


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
            hint="alembic history lists them",
        )
    return UsageError(
        f"there is no way to {revision!r}: {error}",
        hint="see what is there with: dbops status",
    )
