"""Let Alembic write revision files from the project's own template."""

from pathlib import Path

from alembic.autogenerate import RevisionContext
from alembic.script import Script
from alembic.util import CommandError

from dbops.errors import ConfigError, DbopsError, FailedError, RefusedError, UsageError
from dbops.operations.migrate.project import Project
from dbops.results import Model
from dbops.threads import in_daemon_thread


class WrittenRevision(Model):
    """One revision file."""

    revision: str
    """Its identifier."""
    message: str
    """The first line of its docstring."""
    down: tuple[str, ...]
    """The revisions that it follows; empty for the first."""
    path: str
    """The file."""


async def write_revisions(
    project: Project, revision: RevisionContext
) -> tuple[WrittenRevision, ...]:
    """Write what is to be written; the project's own hooks run on each file.

    Raises:
        UsageError: If an option does not fit the project's revisions.
        RefusedError: If a file cannot be written.
        ConfigError: If the template cannot be used.
        FailedError: If a file was written and a hook then failed.
    """
    # Alembic announces each file on stdout otherwise.
    project.script.messaging_opts = {"quiet": True}
    before = _files(project)
    try:
        scripts = await in_daemon_thread(lambda: list(revision.generate_scripts()))
    except Exception as error:
        raise _fault(error, _files(project) - before) from error
    return tuple(_described(script) for script in scripts if script is not None)


def _described(script: Script) -> WrittenRevision:
    down = script.down_revision
    return WrittenRevision(
        revision=script.revision,
        message=script.doc,
        down=(down,) if isinstance(down, str) else tuple(down or ()),
        path=str(script.path),
    )


def _files(project: Project) -> frozenset[Path]:
    folders = project.script.version_locations or [project.script.versions]
    return frozenset(file for folder in folders for file in Path(folder).rglob("*.py"))


def _fault(error: Exception, written: frozenset[Path]) -> DbopsError:
    why = str(error) or type(error).__name__
    if written:
        return FailedError(
            f"{', '.join(map(str, sorted(written)))} was written, and then: {why}",
            hint="look at the file, and at [post_write_hooks] in the configuration",
        )
    if isinstance(error, OSError):
        return RefusedError(
            f"the revision cannot be written: {why}",
            hint="mend the permissions, or run: dbops init",
        )
    if isinstance(error, CommandError):
        return UsageError(
            f"Alembic writes no such revision: {why}", hint="see: alembic heads"
        )
    return ConfigError(
        f"script.py.mako cannot be used: {type(error).__name__}: {why}",
        hint="mend the template in the migrations folder",
    )
