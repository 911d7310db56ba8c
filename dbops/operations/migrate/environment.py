"""Run a project's env.py on a connection of ours, or let it open its own."""

from contextlib import AsyncExitStack, nullcontext, suppress

from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connectors
from dbops.engine.database import ddl_connection
from dbops.engine.faults import translate
from dbops.errors import ConfigError, DbopsError, FailedError, RefusedError
from dbops.operations.migrate.foreign import lent_url
from dbops.operations.migrate.lock import NOTICE_DEATH, release_lock, take_lock
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
    connector = connectors.connector("migration", is_ddl=mutate)
    endpoint = await connector.endpoint()
    waited_s: float | None = None
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(Turn())
        if not project.borrows_connection:
            lent = (
                nullcontext()
                if project.names_database
                else lent_url(project, connector, endpoint)
            )
            with lent, _named(run, endpoint):
                await in_daemon_thread(
                    lambda: project.run_env(run, steps, connection=None, mutate=mutate)
                )
            return None
        connection = await stack.enter_async_context(ddl_connection(connector))
        await _prepare(connection)
        if lock_limit_s is not None:
            waited_s = await take_lock(connection, limit_s=lock_limit_s)
            stack.push_async_callback(release_lock, connection)
        # Alembic commits only what it has begun itself.
        assert not connection.in_transaction()  # noqa: S101
        with _named(run, endpoint):
            await connection.run_sync(
                lambda lent: project.run_env(run, steps, connection=lent, mutate=mutate)
            )
    return waited_s


async def _prepare(connection: AsyncConnection) -> None:
    """Set what lasts for the session, and leave no transaction open."""
    with suppress(DBAPIError):
        await connection.exec_driver_sql(f"SET {NOTICE_DEATH}")
        await connection.commit()
    await connection.rollback()


class _named:  # noqa: N801 # a context manager
    """Translate what env.py raises, and name the revision that failed."""

    def __init__(self, run: Run, endpoint: Endpoint) -> None:
        self._run = run
        self._endpoint = endpoint

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, _kind: object, error: BaseException | None, _trace: object
    ) -> None:
        """Raise the translation of `error`."""
        if isinstance(error, DbopsError) or not isinstance(error, Exception):
            return
        raise self._fault(error) from error

    def _fault(self, error: Exception) -> DbopsError:
        if isinstance(error, CommandError):
            return _from_alembic(error)
        fault = translate(error, self._endpoint, phase="migrate") or FailedError(
            f"{type(error).__name__}: {error}", phase="migrate"
        )
        revision = self._run.failing
        if revision is None:
            if isinstance(error, ImportError):
                return ConfigError(
                    f"env.py cannot be run: {error}",
                    hint="install what it imports beside dbops",
                    phase="migrate",
                )
            return fault
        done = len(self._run.applied)
        return type(fault)(
            f"revision {revision} failed and was rolled back: {fault.message} "
            f"({done} of {len(self._run.planned)} pending revisions were applied)",
            hint=fault.hint or "mend the revision and run dbops migrate again",
            phase="migrate",
            sqlstate=fault.sqlstate,
        )


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
