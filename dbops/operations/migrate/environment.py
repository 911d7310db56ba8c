"""Run a project's env.py on a connection of ours, or let it open its own."""

from collections.abc import Callable, Generator, Sequence
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    contextmanager,
    nullcontext,
    suppress,
)

from alembic.runtime.migration import MigrationContext
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connectors
from dbops.engine.database import ddl_connection
from dbops.engine.faults import translate
from dbops.errors import (
    ConfigError,
    DbopsError,
    FailedError,
    RefusedError,
    UnreachableError,
)
from dbops.operations.migrate.foreign import lent_url
from dbops.operations.migrate.lock import NOTICE_DEATH, take_lock
from dbops.operations.migrate.project import Project, Run, Steps, Turn
from dbops.threads import in_daemon_thread


async def run_environment(
    connectors: Connectors,
    project: Project,
    run: Run,
    steps: Steps,
    *,
    mutate: bool,
    lock_limit_s: float | None = None,
) -> float | None:
    """Execute env.py with `steps` as what is to be done.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Whose env.py.
        run: Filled on the way, also when it fails.
        steps: What Alembic asks for the revisions to apply.
        mutate: Whether the database may be changed.
        lock_limit_s: How long to wait for other migrators; None takes no lock.

    Returns:
        How long the lock was waited for, in seconds; None when none was taken.

    Raises:
        DbopsError: Whatever goes wrong, translated; a revision that fails is named.
    """
    waited_s: float | None = None
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(Turn())
        if not project.borrows_connection:
            await _run_on_its_own(connectors, project, run, steps, mutate=mutate)
            return None
        connector = connectors.connector("migration", is_ddl=mutate)
        connection = await stack.enter_async_context(ddl_connection(connector))
        await _prepare(connection)
        if lock_limit_s is not None:
            waited_s = await take_lock(connection, limit_s=lock_limit_s)
        # Alembic commits only what it has begun itself.
        assert not connection.in_transaction()  # noqa: S101
        with _named(project, run, await connector.endpoint()):
            await connection.run_sync(
                lambda lent: project.run_env(run, steps, connection=lent, mutate=mutate)
            )
    return waited_s


async def look(
    connectors: Connectors,
    project: Project,
    question: Callable[[tuple[str, ...], MigrationContext], None],
) -> None:
    """Ask something of the database, over a fresh connection and as env.py says.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Whose env.py.
        question: Called with the database's revisions and Alembic's context, whose
            `connection` it may read with; once for each database of env.py.

    Raises:
        DbopsError: As `run_environment`.
    """

    def only_look(revisions: Sequence[str], context: MigrationContext) -> list[object]:
        question(tuple(sorted(revisions)), context)
        return []

    await run_environment(connectors, project, Run(), only_look, mutate=False)


async def _run_on_its_own(
    connectors: Connectors, project: Project, run: Run, steps: Steps, *, mutate: bool
) -> None:
    """Let env.py open its own connection: to its ini's database, or else to ours."""
    lent: AbstractContextManager[None] = nullcontext()
    endpoint = project.endpoint
    if endpoint is None:
        connector = connectors.connector("migration", is_ddl=mutate)
        endpoint = await connector.login()
        lent = lent_url(project, connector, endpoint)
    with lent, _named(project, run, endpoint):
        await in_daemon_thread(
            lambda: project.run_env(run, steps, connection=None, mutate=mutate)
        )


async def _prepare(connection: AsyncConnection) -> None:
    """Set what lasts for the session, and leave no transaction open."""
    with suppress(DBAPIError):
        await connection.exec_driver_sql(f"SET {NOTICE_DEATH}")
        await connection.commit()
    await connection.rollback()


@contextmanager
def _named(project: Project, run: Run, endpoint: Endpoint) -> Generator[None]:
    """Translate what env.py raises inside the block, and name the revision."""
    try:
        yield
    except DbopsError:
        raise
    except CommandError as error:
        raise _from_alembic(error) from error
    except Exception as error:
        fault = translate(error, endpoint, phase="migrate") or FailedError(
            f"{type(error).__name__}: {error}", phase="migrate"
        )
        raise _with_revision(fault, error, project, run) from error


def _with_revision(
    fault: DbopsError, error: Exception, project: Project, run: Run
) -> DbopsError:
    if run.failing is not None:
        fate = _fate(fault, project, run.failing)
        return type(fault)(
            f"revision {run.failing} failed {fate}: {fault.message} "
            f"({len(run.applied)} of {len(run.planned)} pending revisions are applied)",
            hint=fault.hint or "mend the revision and run dbops migrate again",
            phase="migrate",
            sqlstate=fault.sqlstate,
        )
    if isinstance(error, ImportError):
        return ConfigError(
            f"env.py cannot be run: {error}",
            hint="install what it imports beside dbops",
            phase="migrate",
        )
    return fault


def _fate(fault: DbopsError, project: Project, revision: str) -> str:
    """Say what is left of a revision that failed, and no more than is known."""
    if not project.is_transactional(revision):
        return "half-way, and what it did outside of its transaction stays"
    if isinstance(fault, UnreachableError):
        return "and whether it was kept is unknown (see: dbops status)"
    return "and was rolled back"


def _from_alembic(error: CommandError) -> DbopsError:
    if isinstance(error.__cause__, ResolutionError) or "Can't locate" in str(error):
        return RefusedError(
            f"the database is ahead of this code, or the revision is unknown: {error}",
            hint="deploy the code that has this revision; see: dbops status",
            phase="migrate",
        )
    if "Multiple head" in str(error):
        return RefusedError(
            "the project has several heads",
            hint="name one, or heads for all; alembic merge joins them",
            phase="migrate",
        )
    return FailedError(f"Alembic refused: {error}", phase="migrate")
