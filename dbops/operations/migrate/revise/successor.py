"""May a revision be written now, and after which one?"""

from dbops.engine.connect import Connectors
from dbops.errors import PendingError, RefusedError, UsageError
from dbops.operations.migrate.heads import Heads, several
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.status import migration_status


def check_options(
    project: Project,
    heads: Heads,
    head: str | None,
    branch_label: str | None,
    rev_id: str | None,
) -> None:
    """Refuse what Alembic notices only when the file is there, or not at all.

    Raises:
        UsageError: If the identifier or the label is in use.
        RefusedError: If there are several heads and none is named.
    """
    if heads.merge is not None and head is None:
        raise RefusedError(
            f"{several(heads)}: which one is to be followed?",
            hint=f"name it with --head, or join them with: {heads.merge}",
        )
    scripts = list(project.script.walk_revisions())
    if rev_id is not None and rev_id in {script.revision for script in scripts}:
        raise UsageError(
            f"the revision {rev_id} exists", hint="choose another --rev-id"
        )
    labels = {label for script in scripts for label in script.branch_labels}
    if branch_label is not None and branch_label in labels:
        raise UsageError(
            f"the branch label {branch_label} is in use", hint="choose another"
        )


async def require_head(connectors: Connectors, project: Project, heads: Heads) -> None:
    """Refuse to compare where pending revisions would be found again.

    Raises:
        PendingError: If the database lacks revisions.
        RefusedError: If it is ahead of the code.
        DbopsError: As `migration_status`.
    """
    if not heads.heads:
        return  # the first revision; Alembic refuses a database that has one
    status = await migration_status(connectors, project)
    current = ", ".join(status.current)
    match status.state:
        case "at_head":
            return
        case "behind" | "empty":
            raise PendingError(
                f"the database lacks {len(status.pending)} of the project's revisions: "
                "what they do would be written again",
                hint="first: dbops migrate",
            )
        case "ahead" | "diverged":
            raise RefusedError(
                f"the database is at {current}, which this code does not lead to",
                hint="deploy the code that has this revision; see: dbops status",
            )
