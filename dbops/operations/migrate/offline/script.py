"""What SQL would an upgrade run?"""

import asyncio

from typing_extensions import override

from dbops.engine.connect import Connectors
from dbops.errors import (
    ConfigError,
    DbopsError,
    FailedError,
)
from dbops.operations.migrate.offline.ranges import range_of
from dbops.operations.migrate.offline.recording import Recording, RevisionSql
from dbops.operations.migrate.offline.rendering import Rendering
from dbops.operations.migrate.project import Project, Turn
from dbops.results import Problem, Result, Status
from dbops.threads import in_daemon_thread

__all__ = ["MigrationSql", "RevisionSql", "migration_sql", "render"]


_MOST_NAMED = 5
# How long an env.py may go on that nobody waits for any more.
_LAST_S = 5.0


class MigrationSql(Result):
    """The SQL of an upgrade."""

    revisions: tuple[RevisionSql, ...]
    """Each revision by itself, in order; once for each database of env.py."""
    sql: str
    """The whole script, one transaction a revision, with Alembic's version table."""

    @property
    @override
    def problem(self) -> Problem | None:
        """Which revisions are not whole; a script without them is no script to run."""
        broken = [it for it in self.revisions if it.problem is not None]
        if not broken:
            return None
        named = [f"{it.revision} ({it.problem})" for it in broken[:_MOST_NAMED]]
        if len(broken) > _MOST_NAMED:
            named.append(f"{len(broken) - _MOST_NAMED} more")
        return Problem.of(
            FailedError(
                "the SQL is incomplete: these revisions cannot be rendered without a "
                f"database: {', '.join(named)}",
                hint="dbops migrate --rehearse shows what they do on a copy",
                phase="render",
            )
        )


async def render(
    project: Project,
    revisions: str | None = None,
    *,
    connectors: Connectors | None = None,
) -> tuple[RevisionSql, ...]:
    """Render each revision by itself; takes and raises what `migration_sql` does."""
    return (await migration_sql(project, revisions, connectors=connectors)).revisions


async def migration_sql(
    project: Project,
    revisions: str | None = None,
    *,
    connectors: Connectors | None = None,
) -> MigrationSql:
    """Render an upgrade as Alembic's `--sql` does; changes nothing, writes no file.

    A revision that Alembic cannot render, such as one that reads from the database,
    is marked in the script, and the others are rendered all the same.

    Args:
        project: Whose revisions.
        revisions: `FROM:TO`; or only where to, from where the database stands; None
            for all heads.
        connectors: How to ask where the database stands (role `migration`); None
            starts from an empty one. Not used for a range.

    Raises:
        UsageError: If the range is malformed, leads backwards, or to a revision that
            the project does not have.
        RefusedError: If the project has several heads, or the database is ahead of
            the code.
        FailedError: If env.py itself cannot be run without a database.
        DbopsError: As `Connector.__call__`.
    """
    start, target = await range_of(project, revisions, connectors)
    rendering = Rendering(project, target, start)
    recording = await _in_turn(rendering)
    is_whole = all(it.problem is None for it in recording.revisions)
    return MigrationSql(
        status=Status.OK if is_whole else Status.FAIL,
        revisions=tuple(recording.revisions),
        sql=recording.sql,
    )


async def _in_turn(rendering: Rendering) -> Recording:
    """Keep our turn until env.py has ended, also when we are cancelled."""
    async with Turn():
        thread = asyncio.ensure_future(in_daemon_thread(lambda: _run(rendering)))
        try:
            return await asyncio.shield(thread)
        except asyncio.CancelledError:
            await asyncio.wait([thread], timeout=_LAST_S)
            if thread.done() and not thread.cancelled():
                thread.exception()  # it has been looked at
            raise


def _run(rendering: Rendering) -> Recording:
    try:
        recording = rendering.run()
    except (Exception, SystemExit) as error:
        raise _fault(error) from error
    if recording is None:
        raise FailedError(
            "env.py renders nothing: it never calls context.run_migrations()",
            phase="render",
        )
    return recording


def _fault(error: BaseException) -> DbopsError:
    if isinstance(error, DbopsError):
        return error
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, ImportError):
        return ConfigError(
            f"env.py cannot be run: {error}",
            hint="install what it imports beside dbops",
            phase="render",
        )
    return FailedError(
        f"env.py cannot be run without a database: {said}",
        hint="let it ask context.is_offline_mode(); set the variables that it reads",
        phase="render",
    )
