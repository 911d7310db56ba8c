"""Is what was applied really there? Asked over a fresh connection."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from alembic.runtime.migration import MigrationContext

from dbops.engine.connect import Connectors
from dbops.errors import DbopsError, FailedError
from dbops.operations.migrate.apply import Attempts
from dbops.operations.migrate.at_head import at_head
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
    connectors: Connectors, project: Project, attempts: Attempts
) -> Migrated:
    """Read the version and the indexes again, and say what was done.

    An env.py that begins a transaction of its own and never commits it reports
    success and leaves nothing.

    Raises:
        FailedError: If the version is not the one that the revisions lead to.
        DbopsError: As `look`; it says what was applied.
    """
    legs = [leg for leg in attempts.run.legs if leg.has_run]
    if not legs:
        raise FailedError(
            "env.py ended without running any revision, or looking for one",
            hint="an env.py has to call context.run_migrations()",
            phase="migrate",
        )
    with _saying(attempts):
        found = await _certain(connectors, project, legs)
        found = found or await _asked(connectors, project, legs)
    for leg, version in zip(legs, found.versions, strict=False):
        _check(leg, version)
    if len(legs) != len(found.versions):
        raise FailedError(
            f"env.py configured {len(legs)} connections, and {len(found.versions)} "
            "when it was asked again: what was applied cannot be verified",
            hint="look at what env.py decides by",
            phase="verify",
        )
    return Migrated(
        status=_status(found),
        before=attempts.before or (),
        after=tuple(sorted({name for version in found.versions for name in version})),
        applied=tuple(attempts.applied),
        lock_wait_ms=round(attempts.run.waited_s * 1000, 3),
        retries=attempts.retries,
        invalid_indexes=(*found.invalid, *found.incomplete),
        not_valid_constraints=tuple(found.not_valid),
    )


@dataclass(slots=True)
class _Found:
    """What a fresh connection reads, database by database."""

    versions: list[tuple[str, ...]] = field(default_factory=list)
    invalid: list[InvalidIndex] = field(default_factory=list)
    incomplete: list[InvalidIndex] = field(default_factory=list)
    not_valid: list[NotValidConstraint] = field(default_factory=list)


async def _certain(
    connectors: Connectors, project: Project, legs: Sequence[Leg]
) -> _Found | None:
    """Ask with one query; None where that is not certain to be env.py's answer."""
    if len(legs) > 1:
        return None
    there = await at_head(
        connectors,
        project.config_file,
        section=project.section,
        x_arguments=project.x_arguments,
        revision="heads",
    )
    return None if there is None else _Found(versions=[there.after])


async def _asked(
    connectors: Connectors, project: Project, legs: Sequence[Leg]
) -> _Found:
    """Run env.py again, and ask over the connections that it opens."""
    found = _Found()

    def question(revisions: tuple[str, ...], context: MigrationContext) -> None:
        connection = context.connection
        assert connection is not None  # never offline  # noqa: S101
        found.versions.append(revisions)
        found.invalid.extend(invalid_indexes(connection))
        found.incomplete.extend(incomplete_indexes(connection))
        found.not_valid.extend(not_valid_constraints(connection))
        if len(found.versions) == len(legs):
            raise Enough

    await look(connectors, project, question)
    return found


@contextmanager
def _saying(attempts: Attempts) -> Generator[None]:
    """Say what was applied when it cannot be looked at any more."""
    try:
        yield
    except DbopsError as error:
        if not attempts.applied:
            raise
        raise error.retold(
            f"{len(attempts.applied)} revisions were applied, and cannot be verified: "
            f"{error.message}",
            phase="verify",
        ) from error


def _check(leg: Leg, version: tuple[str, ...]) -> None:
    if leg.failing is not None:
        raise FailedError(
            f"revision {leg.failing} was not applied, and env.py has not said why: "
            f"{len(leg.survivors)} of {len(leg.planned)} pending revisions are applied",
            hint="env.py must not catch what context.run_migrations() raises",
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


def _status(found: _Found) -> Status:
    if any(not _is_leftover(it.name) for it in found.invalid):
        return Status.FAIL
    # A partitioned table's index is built partition by partition, on purpose.
    return Status.WARN if found.invalid or found.incomplete else Status.OK


def _is_leftover(name: str) -> bool:
    """Tell what a failed REINDEX CONCURRENTLY leaves: the old index serves still.

    https://www.postgresql.org/docs/current/sql-reindex.html
    """
    return name.rstrip('0123456789"').endswith(("_ccnew", "_ccold"))


def _listed(version: tuple[str, ...]) -> str:
    return ", ".join(version) or "no version"
