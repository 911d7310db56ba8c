"""Which project are a run's databases made for?"""

from pathlib import Path

from dbops.errors import UsageError
from dbops.settings import Settings


def found_project(settings: Settings, folder: Path) -> str:
    """Return the Alembic configuration that the settings name, or that of `folder`.

    Args:
        settings: The project's.
        folder: Where pytest found its own configuration.

    Raises:
        UsageError: If there is neither.
    """
    if settings.alembic_config is not None:
        return settings.alembic_config
    if (ini := folder / "alembic.ini").is_file():
        return str(ini)
    toml = folder / "pyproject.toml"
    if toml.is_file() and "[tool.alembic]" in toml.read_text("utf-8"):
        return str(toml)
    raise UsageError(
        f"no alembic.ini, and so no migrations, in pytest's rootdir {folder}",
        hint="override the fixture dbops_project: let it return the path of an "
        "alembic.ini, a MetaData, or None for empty databases",
    )


def located(project: object, folder: Path) -> object:
    """Return what `dbops_project` has returned, a path so that it leads there.

    Args:
        project: A path, or anything else.
        folder: Where a path that leads nowhere from here begins.

    Raises:
        UsageError: If there is no such file.
    """
    if not isinstance(project, str | Path):
        return project
    for place in (Path(project), folder / project):
        if place.is_file():
            return place
    raise UsageError(
        f"there is no Alembic configuration {project}, neither here nor in {folder}",
        hint="let the fixture dbops_project return the path of an alembic.ini",
    )
