"""What would `dbops migrate` apply here, and in which order?"""

from typing import NamedTuple

from alembic.runtime.migration import MigrationContext
from alembic.script import Script

from dbops.engine.connect import Connectors
from dbops.errors import RefusedError
from dbops.operations.migrate.environment import look
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.way import leaves_transaction, steps_to
from dbops.results import Model, Result

# https://www.postgresql.org/docs/current/functions-info.html
# On a standby this is always on, so that one question answers for both.
_IS_READ_ONLY = "SELECT pg_catalog.current_setting('transaction_read_only')"


class PlannedMigration(Model):
    """One revision that would be applied."""

    revision: str
    """Its identifier."""
    message: str
    """The first line of its docstring."""
    down_revisions: tuple[str, ...]
    """What it stands on; empty for a first revision, several for a merge."""
    transactional: bool
    """Whether all of it happens in one transaction, as far as its source shows; what
    is not cannot be undone by a failure."""
    is_merge: bool
    """Whether it joins branches."""
    is_branch_point: bool
    """Whether more than one revision stands on it."""
    path: str
    """Its file."""


class MigrationPlan(Result):
    """What would be applied; nothing was written."""

    before: tuple[str, ...]
    """The database's revisions; empty for a new one."""
    planned: tuple[PlannedMigration, ...]
    """What would be applied, in order; empty when nothing is pending."""


async def plan(
    connectors: Connectors,
    project: Project,
    revision: str = "head",
) -> MigrationPlan:
    """List what `migrate` would apply; writes nothing.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Whose revisions.
        revision: As `migrate` takes it.

    Raises:
        RefusedError: Where `migrate` would refuse too: the database is ahead of the
            code or takes no changes, or the project has several heads.
        UsageError: If the project has no such revision.
        DbopsError: As `Connector.__call__`.
    """
    here = await standing(connectors, project)
    if here.is_read_only:
        raise RefusedError(
            "this server takes no changes: it is a standby, or its sessions are "
            "read-only",
            hint="name the writer in DATABASE_URL or DATABASE_MIGRATION_URL",
            phase="migrate",
            sqlstate="25006",
        )
    found = [steps_to(project, revision, current) for current in here.versions]
    # Of several databases of one env.py, the one that lags behind most leads.
    longest_first = sorted(found, key=len, reverse=True)
    steps = {step.revision.revision: step for steps in longest_first for step in steps}
    return MigrationPlan(
        before=tuple(sorted({it for versions in here.versions for it in versions})),
        planned=tuple(_described(step.revision) for step in steps.values()),
    )


class Standing(NamedTuple):
    """Where the databases of env.py stand; most have one."""

    versions: tuple[tuple[str, ...], ...]
    """The revisions of each database; those that agree are named once."""
    is_read_only: bool
    """Whether one of them takes no changes."""


async def standing(connectors: Connectors, project: Project) -> Standing:
    """Read where each database of env.py stands.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Whose env.py.

    Raises:
        DbopsError: As `Connector.__call__`.
    """
    versions: list[tuple[str, ...]] = []
    read_only: list[str] = []

    def ask(revisions: tuple[str, ...], context: MigrationContext) -> None:
        versions.append(revisions)
        assert context.connection is not None  # it is online  # noqa: S101
        read_only.append(context.connection.exec_driver_sql(_IS_READ_ONLY).scalar_one())

    await look(connectors, project, ask)
    return Standing(tuple(dict.fromkeys(versions)), "on" in read_only)


def _described(script: Script) -> PlannedMigration:
    return PlannedMigration(
        revision=script.revision,
        message=script.doc,
        down_revisions=tuple(script._versioned_down_revisions),  # noqa: SLF001 # the public one is a str or a tuple
        transactional=not leaves_transaction(script),
        is_merge=script.is_merge_point,
        is_branch_point=script.is_branch_point,
        path=script.path,
    )
