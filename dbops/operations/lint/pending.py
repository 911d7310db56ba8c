"""Which revisions are to be judged?"""

from collections.abc import Callable

from dbops.engine.connect import Connectors
from dbops.errors import DbopsError, RefusedError, UnreachableError
from dbops.operations.lint.finding import Source
from dbops.operations.lint.sources import of_revisions
from dbops.operations.migrate.offline.script import render
from dbops.operations.migrate.project import Project

_NO_DATABASE = "3D000"


async def revisions_to_lint(
    project: Project,
    revisions: str | None,
    connectors: Connectors | None,
    *,
    on_notice: Callable[[str], None] = lambda _: None,
) -> list[Source]:
    """Return what is pending, or what a range names, each revision by itself.

    Args:
        project: Whose revisions.
        revisions: `FROM:TO`; None for what is pending, and for the whole history where
            no server can be asked.
        connectors: How to ask where the database stands; None asks nobody.
        on_notice: Told when the whole history is taken.

    Raises:
        DbopsError: As `render`; a server that cannot be reached is none.
    """
    if connectors is None or revisions is not None:
        judged = of_revisions(await render(project, revisions))
        return [*await _earlier(project, revisions), *judged]
    try:
        pending = await render(project, connectors=connectors)
    except (UnreachableError, RefusedError) as error:
        if not isinstance(error, UnreachableError) and error.sqlstate != _NO_DATABASE:
            raise
        on_notice(f"note: the whole history is judged: {error.message}")
        pending = await render(project)
    return of_revisions(pending)


async def _earlier(project: Project, revisions: str | None) -> list[Source]:
    """Return what a range stands on, as far as it can be rendered."""
    start = (revisions or "").partition(":")[0]
    if start in ("", "base"):
        return []
    try:
        rendered = await render(project, f"base:{start}")
    except DbopsError:
        return []
    return [
        source.model_copy(update={"is_earlier": True})
        for source in of_revisions(rendered)
    ]
