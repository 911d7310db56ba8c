"""Are the project's revision files sound? Alembic reads them when they are needed."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb

from dbops.errors import ConfigError


@contextmanager
def readable() -> Generator[None]:
    """Translate what Alembic raises while it reads the revision files.

    Only what comes from a revision file, or from how they hang together.

    Raises:
        ConfigError: If a file cannot be imported, or follows one that is missing.
    """
    try:
        with warnings.catch_warnings():
            # Alembic warns of what it is about to raise.
            warnings.filterwarnings("ignore", message="Revision .* is not present")
            yield
    except KeyError as error:
        if Path(extract_tb(error.__traceback__)[-1].filename).name != "revision.py":
            raise
        raise ConfigError(
            f"the history is broken: a revision follows {error}, which is missing",
            hint="restore its file, or mend down_revision",
            phase="settings",
        ) from error
    except Exception as error:
        file = _revision_file(error)
        if file is None:
            raise
        raise ConfigError(
            f"revision file {file} cannot be read: {type(error).__name__}: {error}",
            hint="mend it, or install what it imports beside dbops",
            phase="settings",
        ) from error


def _revision_file(error: Exception) -> str | None:
    """Return the file that was being imported; None when it was none of ours."""
    frames = [frame.name for frame in extract_tb(error.__traceback__)]
    if "load_python_file" not in frames or "_load_revisions" not in frames:
        return None
    if isinstance(error, SyntaxError):
        return Path(error.filename or "").name
    loaded = frames.index("load_python_file")
    for frame in extract_tb(error.__traceback__)[loaded:]:
        if frame.name == "<module>":
            return Path(frame.filename).name
    return None
