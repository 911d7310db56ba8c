"""Where does the local pair keep its files, and who may look into them?"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbops.errors import ConfigError, UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def cache_home(cache_dir: Path | None) -> Path:
    """Return the folder that everything local lives in, without making it.

    Raises:
        ConfigError: If that is in a home, and this user has none.
    """
    # A server of root's runs as another account, which must never need a way
    # through root's home.
    usual = Path("/var/cache/dbops" if is_root() else "~/.cache/dbops")
    try:
        return (cache_dir or usual).expanduser().resolve()
    except RuntimeError:
        raise ConfigError(
            "this user has no home in which a local pair could be kept",
            hint="set DBOPS_CACHE_DIR to a folder of its own, or HOME",
            phase="settings",
        ) from None


def absolute(path: Path) -> Path:
    """Return the full path of what somebody typed."""
    return path.expanduser().absolute()


def pair_folder(home: Path, name: str) -> Path:
    """Return the folder of the pair `name`.

    Raises:
        UsageError: If the name would not make a good folder.
        ConfigError: If nobody may look whether it is there.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a name for a local pair",
            hint="use letters, digits, - and _, and begin with a letter or a digit",
        )
    folder = home / "pairs" / name
    with file_errors(home):
        folder.exists()
    return folder


def is_root() -> bool:
    """Say whether we run as root."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def passage_mode() -> int:
    """Return the mode of our folders: root's can be passed through, others not."""
    return 0o711 if is_root() else 0o700


def make_folder(path: Path) -> Path:
    """Make `path` and its missing parents, and leave what exists as it is."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    for place in reversed(missing):
        try:
            place.mkdir()
        except FileExistsError:
            continue  # another dbops was quicker
        place.chmod(passage_mode())
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read, all of it or nothing."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def delete_folder(path: Path) -> None:
    """Delete a folder of ours; one that is gone is no error."""
    shutil.rmtree(path, ignore_errors=True)
    if path.is_dir():
        shutil.rmtree(path)


@contextmanager
def file_errors(home: Path) -> Iterator[None]:
    """Translate what the file system says.

    Raises:
        ConfigError: If a file or a folder cannot be used.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot use {error.filename or home}: {error.strerror or error}",
            hint="set DBOPS_CACHE_DIR to a folder that you can write to",
            phase="local",
        ) from error
