"""Give a project its alembic.ini and its migrations folder."""

import shutil
from pathlib import Path

from dbops.errors import ConfigError, RefusedError
from dbops.results import Result

_FILES = ("migrations/env.py", "migrations/script.py.mako", "alembic.ini")


class Initialised(Result):
    """Which files were written."""

    folder: str
    """Where."""
    written: tuple[str, ...]
    """Files that were written now."""
    existing: tuple[str, ...]
    """Files that were there, and were left alone."""


def starter_folder() -> Path:
    """Return the folder that holds the starter's `alembic.ini` and `migrations/`.

    It is in the wheel, and at the root of a checkout.

    Raises:
        ConfigError: If neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "starter", package.parent):
        if (folder / "alembic.ini").is_file() and (folder / "migrations").is_dir():
            return folder
    raise ConfigError(
        "the starter migrations are missing from this installation",
        hint="install dbops again",
    )


async def init(folder: Path, *, force: bool = False) -> Initialised:
    """Copy the starter environment, without its revisions, into `folder`.

    Args:
        folder: The project's folder; made when missing.
        force: Overwrite files that are there.

    Raises:
        RefusedError: If the folder cannot be written to.
    """
    starter = starter_folder()
    written, existing = [], []
    try:
        (folder / "migrations" / "versions").mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            if (folder / name).exists() and not force:
                existing.append(name)
                continue
            shutil.copyfile(starter / name, folder / name)
            written.append(name)
    except OSError as error:
        raise RefusedError(
            f"{folder} cannot be written to: {error.strerror}",
            hint="choose another folder, or mend its permissions",
        ) from error
    return Initialised(
        folder=str(folder), written=tuple(written), existing=tuple(existing)
    )
