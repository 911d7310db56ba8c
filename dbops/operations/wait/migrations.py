"""Is the database at this code's newest revisions?"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from dbops.engine.connect import Connectors
from dbops.errors import PendingError, RefusedError
from dbops.operations.wait.attempts import OnFailure, Waited, until

if TYPE_CHECKING:
    from dbops.operations.migrate.project import Project
    from dbops.operations.migrate.status import MigrationStatus

# Each look runs env.py, which costs more than a connection.
FIRST_PAUSE_S = 1.0


async def wait_for_migrations(
    connectors: Connectors,
    project: "Callable[[], Project]",
    *,
    limit_s: float,
    on_failure: OnFailure | None = None,
    is_surely_there: Callable[[], Awaitable[bool]] | None = None,
) -> Waited:
    """Wait until somebody else has migrated the database to the project's heads.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Opens the project; called once, when Alembic has to be asked.
        limit_s: How long to wait, in seconds.
        on_failure: Called with each failure on the way.
        is_surely_there: A cheaper question to ask first, such as `at_head`: False only
            means that Alembic has to be asked.

    Raises:
        PendingError: If revisions are still pending in the end; it counts them.
        UnreachableError: If the server gave no answer in the end.
        RefusedError: At once, if the database is ahead of this code or has diverged;
            in the end, if the database is missing.
        DbopsError: If waiting cannot help: wrong password, malformed settings, …
    """
    opened: list[Project] = []

    async def attempt() -> None:
        if is_surely_there is not None and await is_surely_there():
            return
        from dbops.operations.migrate.status import migration_status  # noqa: PLC0415 # Alembic

        if not opened:
            opened.append(project())
        _check(await migration_status(connectors, opened[0]), opened[0])

    return await until(
        "migrations",
        attempt,
        limit_s=limit_s,
        on_failure=on_failure,
        first_pause_s=FIRST_PAUSE_S,
    )


def _check(found: "MigrationStatus", project: "Project") -> None:
    current = ", ".join(found.current) or "no version"
    match found.state:
        case "at_head":
            return
        case "behind" | "empty":
            if not found.pending:
                return  # a head that others depend on leaves the version table
            total = sum(1 for _ in project.script.walk_revisions())
            verb = "is" if len(found.pending) == 1 else "are"
            raise PendingError(
                f"{len(found.pending)} of {total} revisions {verb} pending: next is "
                f"{found.pending[0].revision}",
                hint="apply them with: dbops migrate",
                phase="migrate",
            )
        case "ahead":
            raise RefusedError(
                f"the database is ahead of this code: it is at {current}",
                hint="deploy the code that has this revision; see: dbops status",
                phase="migrate",
            )
        case "diverged":
            raise RefusedError(
                f"the database is at {current}, from where no way leads to "
                f"{', '.join(found.heads)}",
                hint="compare it with the project's history; see: dbops status",
                phase="migrate",
            )
