"""Is what was applied really there? Asked over a fresh connection."""

from alembic.runtime.migration import MigrationContext

from dbops.engine.connect import Connectors
from dbops.errors import FailedError
from dbops.operations.migrate.apply import Attempts
from dbops.operations.migrate.environment import Enough, look
from dbops.operations.migrate.migrated import (
    InvalidIndex,
    Migrated,
    NotValidConstraint,
)
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.proof import (
    incomplete_indexes,
    invalid_indexes,
    not_valid_constraints,
)
from dbops.operations.migrate.run import Leg
from dbops.results import Status


async def verified(
    connectors: Connectors, project: Project, attempts: Attempts, *, confine: bool
) -> Migrated:
    """Read the version and the indexes again, and say what was done.

    An env.py that begins a transaction of its own and never commits it reports
    success and leaves nothing.

    Raises:
        FailedError: If the version is not the one that the revisions lead to.
        DbopsError: As `look`.
    """
    legs = [leg for leg in attempts.run.legs if leg.has_run]
    if not legs:
        raise FailedError(
            "env.py ended without running any revision, or looking for one",
            hint="an env.py has to call context.run_migrations()",
            phase="migrate",
        )
    versions: list[tuple[str, ...]] = []
    indexes: list[InvalidIndex] = []
    incomplete: list[InvalidIndex] = []
    constraints: list[NotValidConstraint] = []

    def question(revisions: tuple[str, ...], context: MigrationContext) -> None:
        versions.append(revisions)
        connection = context.connection
        assert connection is not None  # never offline  # noqa: S101
        indexes.extend(invalid_indexes(connection))
        incomplete.extend(incomplete_indexes(connection))
        constraints.extend(not_valid_constraints(connection))
        if len(versions) == len(legs):
            raise Enough

    await look(connectors, project, question, confine=confine)
    for leg, version in zip(legs, versions, strict=False):
        _check(leg, version)
    if len(legs) != len(versions):
        raise FailedError(
            f"env.py configured {len(legs)} connections, and {len(versions)} when it "
            "was asked again: what was applied cannot be verified",
            hint="look at what env.py decides by",
            phase="verify",
        )
    waited_s = attempts.run.waited_s
    return Migrated(
        status=_status(indexes, incomplete),
        before=attempts.before or (),
        after=tuple(sorted({name for version in versions for name in version})),
        applied=tuple(attempts.applied),
        lock_wait_ms=None if waited_s is None else round(waited_s * 1000, 3),
        retries=attempts.retries,
        invalid_indexes=(*indexes, *incomplete),
        not_valid_constraints=tuple(constraints),
    )


def _check(leg: Leg, version: tuple[str, ...]) -> None:
    if leg.failing is not None:
        raise FailedError(
            f"only {len(leg.applied)} of {len(leg.planned)} revisions were applied",
            hint="look at what env.py does with the connection",
            phase="verify",
        )
    if version != leg.expected:
        why = "nothing was kept" if version == leg.before else "somebody changed it"
        raise FailedError(
            f"the revisions lead to {_listed(leg.expected)}, but a fresh connection "
            f"reads {_listed(version)}: {why}",
            hint="env.py must not run a statement before context.configure(), or must "
            "commit it",
            phase="verify",
        )


def _status(indexes: list[InvalidIndex], incomplete: list[InvalidIndex]) -> Status:
    if any(not _is_leftover(it.name) for it in indexes):
        return Status.FAIL
    # A partitioned table's index is built partition by partition, on purpose.
    return Status.WARN if indexes or incomplete else Status.OK


def _is_leftover(name: str) -> bool:
    """Tell what a failed REINDEX CONCURRENTLY leaves: the old index serves still.

    https://www.postgresql.org/docs/current/sql-reindex.html
    """
    return name.rstrip('0123456789"').endswith(("_ccnew", "_ccold"))


def _listed(version: tuple[str, ...]) -> str:
    return ", ".join(version) or "no version"
