"""From which revisions to which?"""

from collections.abc import Sequence

from dbops.engine.connect import Connectors
from dbops.errors import DbopsError, RefusedError, UnreachableError, UsageError
from dbops.operations.migrate.plan import standing
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.way import named, steps_to


async def range_of(
    project: Project,
    revisions: str | None,
    connectors: Connectors | None,
) -> tuple[Sequence[str], str]:
    """Return the revisions to start from, and the target.

    Args:
        project: Whose revisions.
        revisions: `FROM:TO`, or only where to; None for all heads.
        connectors: How to ask where the database stands, where no FROM is given; None
            starts from an empty one.

    Raises:
        UsageError: If the range is malformed, leads backwards or to nothing.
        RefusedError: If the project has several heads, or the database is ahead.
        DbopsError: As `Connector.__call__`.
    """
    if revisions is not None and ":" in revisions:
        return _between(project, revisions)
    target = "heads" if revisions is None else revisions
    start: Sequence[str] = ()
    if connectors is not None:
        start = await _standing(connectors, project)
    steps_to(project, target, start)
    return start, target


def _between(project: Project, revisions: str) -> tuple[Sequence[str], str]:
    first, _, last = revisions.partition(":")
    if not first or not last or ":" in last:
        raise UsageError(
            f"{revisions!r} is no range FROM:TO", hint="such as base:head, or 4f2a:head"
        )
    start = named(project, first)
    if not steps_to(project, last, start) and set(start) != set(_named(project, last)):
        raise UsageError(
            f"the range {revisions} leads backwards: --sql renders upgrades",
            hint=f"turn it round: {last}:{first}",
        )
    return start, last


def _named(project: Project, target: str) -> tuple[str, ...]:
    """Return what a target stands for; nothing for a relative one."""
    try:
        return named(project, target)
    except DbopsError:
        return ()


async def _standing(connectors: Connectors, project: Project) -> tuple[str, ...]:
    hint = "give a range FROM:TO, such as base:head, which needs no server"
    try:
        versions = (await standing(connectors, project)).versions
    except UnreachableError as error:
        raise UnreachableError(
            error.message, hint=hint, phase=error.phase, sqlstate=error.sqlstate
        ) from error
    if len(versions) > 1:
        raise RefusedError(
            "the databases of env.py stand at different revisions", hint=hint
        )
    return versions[0] if versions else ()
