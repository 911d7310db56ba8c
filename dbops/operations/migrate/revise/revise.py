"""Write the next revision file, empty or from what models and database differ in."""

from collections.abc import Sequence
from typing import Any

from alembic.autogenerate import RevisionContext
from alembic.runtime.migration import MigrationContext
from alembic.util import asbool

from dbops.engine.connect import Connectors
from dbops.errors import ConfigError
from dbops.operations.migrate.comparable import metadata_of, narrow
from dbops.operations.migrate.environment import look
from dbops.operations.migrate.heads import heads_of
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.revise.file import WrittenRevision, write_revisions
from dbops.operations.migrate.revise.successor import check_options, require_head
from dbops.results import Result


class Revised(Result):
    """Which revision files were written."""

    written: tuple[WrittenRevision, ...]
    """One as a rule; an env.py may make several of one, or none."""
    note: str | None
    """Why nothing was written; null when something was."""


async def revise(
    connectors: Connectors,
    project: Project,
    message: str,
    *,
    autogenerate: bool = False,
    head: str | None = None,
    splice: bool = False,
    branch_label: str | None = None,
    rev_id: str | None = None,
    version_path: str | None = None,
    depends_on: Sequence[str] = (),
    allow_empty: bool = False,
) -> Revised:
    """Write a revision file with Alembic's own machinery; changes no database.

    Args:
        connectors: How to reach the database (role `migration`); used to autogenerate,
            and where the project sets `revision_environment`.
        project: Whose next revision.
        message: What it is to do.
        autogenerate: Fill it with what makes the database like the models.
        head: The revision to follow; None for the only head.
        splice: Allow a `head` that has a successor already.
        branch_label: A name for the branch that begins here.
        rev_id: Its identifier; None makes one.
        version_path: The folder, where the project has several.
        depends_on: Revisions of other branches that have to come first.
        allow_empty: Write a file also when autogenerate finds nothing.

    Raises:
        UsageError: If an option does not fit the project's revisions.
        PendingError: If the database lacks revisions: they would be found again.
        RefusedError: If there are several heads and none is named, if the database is
            ahead of the code, or if the file cannot be written.
        ConfigError: If env.py names no models, or the revisions cannot be read.
        FailedError: If a file was written and a hook of the project's then failed.
        DbopsError: As `look`.
    """
    heads = heads_of(project)
    check_options(project, heads, head, branch_label, rev_id)
    if autogenerate:
        await require_head(connectors, project, heads)
    arguments: dict[str, Any] = {
        "message": message,
        "autogenerate": autogenerate,
        "sql": False,
        "head": head or "head",
        "splice": splice,
        "branch_label": branch_label,
        "version_path": version_path,
        "rev_id": rev_id,
        "depends_on": list(depends_on) or None,
    }
    # What env.py reads of Alembic's own command line.
    vars(project.config.cmd_opts).update(arguments)
    revision = RevisionContext(project.config, project.script, arguments)
    if autogenerate:
        await look(connectors, project, lambda *seen: _compare(revision, *seen))
    elif asbool(project.config.get_alembic_option("revision_environment")):
        await look(connectors, project, revision.run_no_autogenerate)
    if autogenerate and not allow_empty and _is_empty(revision):
        return Revised(
            written=(),
            note="models and database are the same: nothing was written "
            "(--allow-empty writes an empty revision)",
        )
    written = await write_revisions(project, revision)
    return Revised(
        written=written, note=None if written else "env.py left nothing to write"
    )


def _compare(
    revision: RevisionContext, current: tuple[str, ...], context: MigrationContext
) -> None:
    if not metadata_of(context):
        raise ConfigError(
            "env.py names no target_metadata: there are no models to compare with",
            hint="give target_metadata to context.configure()",
        )
    narrow(context)
    revision.run_autogenerate(current, context)


def _is_empty(revision: RevisionContext) -> bool:
    return all(
        operations.is_empty()
        for script in revision.generated_revisions
        for operations in script.upgrade_ops_list
    )
