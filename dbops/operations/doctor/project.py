"""Which revisions has the Alembic project beside us, and where is its version kept?

Read from its text; Alembic is asked only where that does not do, and env.py is run
nowhere. What reads it is imported only where there is a project.
"""

import asyncio
import re
from pathlib import Path
from typing import NamedTuple

from dbops.errors import ConfigError, DbopsError
from dbops.operations.doctor.check import NotApplicableError
from dbops.settings import Settings

_TABLE = "alembic_version"
_NAMED_IN_ENV = re.compile(
    r"""\b(version_table|version_table_schema)\s*=\s*['"]([^'"\\]+)['"]"""
)


class VersionTable(NamedTuple):
    """Where env.py says that the version is kept."""

    name: str
    schema: str | None
    """None for where the search_path leads."""


def configured(settings: Settings) -> str | None:
    """Return the configuration that was named; None for one that was found here.

    Raises:
        NotApplicableError: If there is neither.
        ConfigError: If what was named is not there.
    """
    named = settings.alembic_config
    if named is not None:
        if not Path(named).is_file():
            raise ConfigError(f"the Alembic configuration {named} does not exist")
        return named
    toml = Path("pyproject.toml")
    is_here = Path("alembic.ini").is_file() or (
        toml.is_file() and "[tool.alembic]" in toml.read_text("utf-8", "replace")
    )
    if not is_here:
        raise NotApplicableError("no Alembic project is configured, and none is here")
    return None


def version_table(settings: Settings) -> VersionTable:
    """Return what env.py calls its table, as far as its text tells."""
    from dbops.operations.migrate.at_head.config import read_config  # noqa: PLC0415

    try:
        text = read_config(settings.alembic_config, settings.alembic_section)
        source = text.env_file.read_text("utf-8", "replace")
    except Exception:  # noqa: BLE001 # whatever is odd about it, it has the usual table
        source = ""
    named = dict(_NAMED_IN_ENV.findall(source))
    return VersionTable(
        named.get("version_table", _TABLE),
        named.get("version_table_schema", settings.tenant_schema),
    )


def quick_heads(settings: Settings) -> frozenset[str] | None:
    """Return what the version table holds at head; None where only Alembic can tell."""
    from dbops.operations.migrate.at_head.config import read_config  # noqa: PLC0415
    from dbops.operations.migrate.at_head.heads import read_heads  # noqa: PLC0415

    try:
        text = read_config(settings.alembic_config, settings.alembic_section)
        found = read_heads(text.version_folders, is_recursive=text.is_recursive)
    except Exception:  # noqa: BLE001 # whatever is odd about it, Alembic says so
        return None
    return frozenset(found.rows)


class Standing(NamedTuple):
    """Where a version stands against the project."""

    state: str
    """As `dbops status` calls it."""
    pending: tuple[str, ...]
    """The revisions that it lacks, in order."""


async def standing(settings: Settings, versions: frozenset[str]) -> Standing:
    """Let Alembic compare a version with the project.

    Raises:
        ConfigError: If the project cannot be read.
    """
    # Importing it, and the revisions, takes longer than all other checks.
    return await asyncio.to_thread(_compared, settings, tuple(sorted(versions)))


def _compared(settings: Settings, versions: tuple[str, ...]) -> Standing:
    from dbops.operations.migrate.project import Project  # noqa: PLC0415 # see above
    from dbops.operations.migrate.status import compare_version  # noqa: PLC0415 # same

    try:
        project = Project(
            settings.alembic_config,
            section=settings.alembic_section,
            x_arguments=settings.alembic_x,
        )
        state, pending = compare_version(project, versions)
    except DbopsError:
        raise
    except Exception as error:
        # Every revision is imported: their code may fail in any way that it likes.
        raise ConfigError(
            f"the revisions cannot be read: {type(error).__name__}",
            hint="dbops status says more",
        ) from error
    return Standing(state, tuple(it.revision for it in pending))
