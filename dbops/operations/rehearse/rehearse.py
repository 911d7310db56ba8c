"""What would the pending revisions do? Tried on a throw-away copy of the schema."""

from collections.abc import Callable, Sequence

from dbops.engine.connect import Connectors
from dbops.errors import DbopsError
from dbops.local.throwaway import throwaway
from dbops.operations.migrate.apply import Options, silent
from dbops.operations.migrate.migrated import Migrated
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.run import PlannedRevision
from dbops.operations.migrate.upgrade import migrate
from dbops.operations.migrate.way import steps_to
from dbops.operations.rehearse.catalog import RELATIONS, Catalog
from dbops.operations.rehearse.observer import observer
from dbops.operations.rehearse.original import weights
from dbops.operations.rehearse.rehearsed import Rehearsed, RehearsedRevision
from dbops.operations.rehearse.stage import Stage, identity, stage_for
from dbops.operations.rehearse.told import failed, told
from dbops.operations.rehearse.watch import Watch
from dbops.results import Status

# A schema of thousands of tables is copied in one transaction.
_SERVER = {"max_locks_per_transaction": "2048"}


async def rehearse(
    connectors: Connectors,
    project: Project,
    revision: str = "head",
    *,
    on_progress: Callable[[str], None] = silent,
) -> Rehearsed:
    """Apply the pending revisions to a throw-away copy, and report what they did.

    The copy has the schema of the database that `migrate` would migrate, read by
    pg_dump, and its version; no rows. Where no database is configured it starts from
    nothing. On the real server nothing but the catalogs is read. What a revision does
    besides its connection (files, other services) it does for real.

    Locks are read before each transaction ends; for a statement outside of one, a
    second session stands in its way until it waits, or for half a second, which counts
    in its duration.

    Args:
        connectors: How to reach the real database (role `migration`).
        project: Whose revisions.
        revision: Where to, as for `migrate`.
        on_progress: Told what is done.

    Raises:
        ConfigError: If no pg_dump or server program here fits, or settings are wrong.
        UnreachableError: If the configured server gives no answer.
        RefusedError: If env.py connects past us, the role may not read the schema, or
            as `migrate`.
        LockedError: If a table is being changed and cannot be read.
        UsageError: If the project has no such revision.
        FailedError: If the schema cannot be copied.
    """
    settings = connectors.settings
    async with throwaway(
        cache_dir=settings.cache_dir,
        pg_bin=settings.pg_bin,
        standby=False,
        settings=_SERVER,
    ) as pair:
        stage = await stage_for(connectors, project, pair, on_progress)
        steps = [
            PlannedRevision(step.revision.revision, step.revision.doc)
            for step in steps_to(project, revision, stage.before)
        ]
        on_progress(f"rehearsing on PostgreSQL {stage.version}: {len(steps)} to apply")
        return await _played(stage, project, revision, steps)


async def _played(
    stage: Stage,
    project: Project,
    revision: str,
    steps: Sequence[PlannedRevision],
) -> Rehearsed:
    """Apply the revisions to the copy."""
    connector = stage.connectors.connector("migration", is_ddl=True)
    async with connector.session() as connection:
        catalog = Catalog.of(await connection.fetch(RELATIONS))
    done: Migrated | None = None
    failure: DbopsError | None = None
    async with observer(connector) as second:
        watch = Watch(await identity(stage.connectors), catalog, second)
        options = Options(guard=watch.guard, on_applied=watch.applied)
        try:
            done = await migrate(stage.connectors, project, revision, options)
        except DbopsError as error:
            if len(watch.seen) == len(steps) or error.phase != "migrate":
                raise
            failure = error
    tables = {name for seen in watch.seen for name in seen.locks}
    found = await weights(stage.real, tables) if stage.real else {}
    messages = {step.revision: step.message for step in steps}
    revisions = [told(seen, messages, found) for seen in watch.seen]
    if failure is not None:
        revisions.append(failed(steps[len(revisions)], failure))
    return _result(stage, revisions, done)


def _result(
    stage: Stage, revisions: Sequence[RehearsedRevision], done: Migrated | None
) -> Rehearsed:
    known = stage.original
    major = stage.version.partition(".")[0]
    return Rehearsed(
        status=Status.FAIL if done is None else done.status,
        starts_from="base" if known is None else "schema",
        server_version=known.version if known else None,
        copy_version=stage.version,
        is_same_major=str(known.major) == major if known else None,
        before=stage.before,
        after=done.after if done else None,
        revisions=tuple(revisions),
        invalid_indexes=done.invalid_indexes if done else (),
    )
