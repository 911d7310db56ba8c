"""Has the project one newest revision? If not: where did they fork, what joins them?

Needs the project's files alone, no database.
"""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from dbops.errors import ConfigError
from dbops.operations.migrate.project import Project
from dbops.results import Model

Parents = Mapping[str, tuple[str, ...]]


class Heads(Model):
    """The newest revisions of a project."""

    heads: tuple[str, ...]
    """Their identifiers; one where nothing is wrong, none before the first revision."""
    fork_points: tuple[str, ...]
    """The newest revisions that two heads have in common; empty for one head, and for
    heads that have nothing in common."""
    merge: str | None
    """The command that joins the heads; null when there is nothing to join."""


def heads_of(project: Project) -> Heads:
    """Find the project's heads and where they fork.

    Raises:
        ConfigError: If the revisions cannot be read.
    """
    try:
        heads = project.heads
        parents = {
            script.revision: _tuple(script.down_revision)
            for script in project.script.walk_revisions()
        }
    except Exception as error:
        # Every revision is imported: their code may fail in any way that it likes.
        raise ConfigError(
            f"the revisions cannot be read: {type(error).__name__}: {error}",
            hint="mend the file that it names; alembic history reads the same files",
            phase="settings",
        ) from error
    if len(heads) < 2:  # noqa: PLR2004 # one alone has nothing to be joined with
        return Heads(heads=heads, fork_points=(), merge=None)
    return Heads(heads=heads, fork_points=_forks(heads, parents), merge=_merge(project))


def several(found: Heads) -> str:
    """Say in one sentence that there are several heads, and where they fork."""
    where = " and ".join(found.fork_points)
    return f"the project has {len(found.heads)} heads: {', '.join(found.heads)}; " + (
        f"they fork at {where}" if where else "they have no revision in common"
    )


def _forks(heads: tuple[str, ...], parents: Parents) -> tuple[str, ...]:
    ancestors = {revision: _ancestors(revision, parents) for revision in parents}
    forks: set[str] = set()
    for one, other in combinations(heads, 2):
        common = ancestors[one] & ancestors[other]
        older = {old for new in common for old in ancestors[new] - {new}}
        forks |= common - older
    return tuple(sorted(forks))


def _ancestors(revision: str, parents: Parents) -> frozenset[str]:
    """Return a revision and all that it descends from."""
    found, queue = {revision}, [revision]
    while queue:
        new = set(parents.get(queue.pop(), ())) - found
        found |= new
        queue += new
    return frozenset(found)


def _merge(project: Project) -> str:
    """Write the command as it is to be typed in this folder."""
    words = ["alembic"]
    file = project.config.config_file_name
    if file is not None and Path(file).resolve() != Path("alembic.ini").resolve():
        words.append(f"-c {file}")
    if project.config.config_ini_section != "alembic":
        words.append(f"-n {project.config.config_ini_section}")
    return " ".join([*words, 'merge -m "merge heads" heads'])


def _tuple(value: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
