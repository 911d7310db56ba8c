"""How does a folder vanish with whoever made it?

Its maker holds a lock on it. A killed maker loses the lock, and the next one sweeps.
"""

import asyncio
import fcntl
import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from dbops.errors import FailedError
from dbops.local.cleanup import finish
from dbops.local.folders import delete_folder, passage_mode
from dbops.local.stopping import stop_all

# A name of a pair never begins with a dot.
_PREFIX = ".dbops-"


@asynccontextmanager
async def scratch(parent: Path) -> AsyncGenerator[Path]:
    """Make a folder below `parent` that is deleted at the end, servers stopped.

    Renaming it before the end keeps it.
    """
    folder, claim = _claimed(parent)
    try:
        yield folder
    finally:
        try:
            await finish(_discard(folder))
        finally:
            os.close(claim)


async def sweep(parent: Path) -> None:
    """Delete what killed makers have left below `parent`."""
    for folder in _leftovers(parent):
        with suppress(OSError, FailedError):
            claim = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(claim).st_uid == os.geteuid():
                    fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    await finish(_discard(folder))
            finally:
                os.close(claim)


async def discard(folder: Path) -> None:
    """Delete `folder` so that a kill half-way leaves nothing that looks whole."""
    async with scratch(folder.parent) as grave:
        _move(folder, grave)


def _move(folder: Path, grave: Path) -> None:
    folder.rename(grave / folder.name)


def _leftovers(parent: Path) -> list[Path]:
    return list(parent.glob(_PREFIX + "*"))


async def _discard(folder: Path) -> None:
    await stop_all([folder / "writer", folder / "reader"], is_quick=True)
    await asyncio.to_thread(delete_folder, folder)


def _claimed(parent: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        with suppress(FileNotFoundError, BlockingIOError):
            # A sweeper may come at each of these lines, as long as nobody has the lock.
            claim = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                folder.chmod(passage_mode())
            except BaseException:
                os.close(claim)
                raise
            return folder, claim
