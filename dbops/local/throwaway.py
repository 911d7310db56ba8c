"""How does a pair live exactly as long as a block of code?"""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from dbops.local.account import can_reach, check_reach, find_programs
from dbops.local.build import build_throwaway
from dbops.local.configuration import THROWAWAY
from dbops.local.folders import cache_home, file_errors, make_folder
from dbops.local.scratch import scratch, sweep
from dbops.local.spawn import Account
from dbops.local.startup import Site, socket_fits, start_pair
from dbops.local.state import Pair, Record, pair_of
from dbops.local.template import template as template_folder

_MEMORY_DISK = Path("/dev/shm")  # noqa: S108 # folders below it are made with mkdtemp
_MEMORY_FREE_BYTES = 512 << 20
# Files on the memory disk count against a container's memory.
_MEMORY_LIMIT_BYTES = 2 << 30
_MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@asynccontextmanager
async def throwaway(
    *,
    cache_dir: Path | None = None,
    pg_bin: Path | None = None,
    template: bool = True,
    standby: bool = True,
    settings: Mapping[str, str] | None = None,
) -> AsyncGenerator[Pair]:
    """Run a writer and a standby for the block, and leave nothing behind.

    They do not survive a killed process either, where that is Linux; elsewhere the
    next throw-away pair clears them up. Enter the block in the main thread: the
    servers end with the thread that started them.

    Args:
        cache_dir: Where the servers live and the template is kept; None means the
            memory disk, where there is one, and the user's cache folder.
        pg_bin: The folder with the server programs; None searches.
        template: Copy a cached data folder instead of running initdb.
        standby: Start a standby; without one, `reader` is the writer's endpoint.
        settings: Further server settings, for both servers.

    Raises:
        ConfigError: If there are no server programs, or no folder to write to.
        RefusedError: If we are root and cannot run the servers as somebody else.
        FailedError: If a server does not start.
    """
    home = cache_home(cache_dir)
    with file_errors(home):
        programs = await find_programs(home, pg_bin)
        parent = _parent(home, programs.account, may_leave=cache_dir is None)
        await sweep(parent)
        source = await template_folder(programs, home) if template else None
    async with scratch(parent) as folder:
        with file_errors(parent):
            password = await build_throwaway(
                programs, folder, template=source, has_standby=standby
            )
            site = Site(
                folder=folder,
                programs=programs,
                settings={**THROWAWAY, **(settings or {})},
                dies_with_us=True,
                has_standby=standby,
            )
            binaries = programs.binaries
            record = Record(binaries=binaries.source, server_version=binaries.release)
            record = await start_pair(site, record, new_password=password)
            pair = pair_of("throwaway", folder, record)
        yield pair


def _parent(home: Path, account: Account, *, may_leave: bool) -> Path:
    """Choose a folder to work in: in memory, in the cache, or where names are short.

    Whoever names a cache folder wants everything in it.
    """
    if may_leave and _has_memory() and can_reach(account, _MEMORY_DISK):
        return _MEMORY_DISK
    parent = make_folder(home / "throwaway")
    if not socket_fits(parent / "a-name-with-16-c" / "sockets"):
        parent = Path("/tmp")  # noqa: S108 # mkdtemp makes a private folder in it
    check_reach(account, parent)
    return parent


def _has_memory() -> bool:
    """Say whether the memory disk has room, and does not eat a container's memory."""
    try:
        disk = os.statvfs(_MEMORY_DISK)
    except OSError:
        return False
    is_free = disk.f_bavail * disk.f_frsize >= _MEMORY_FREE_BYTES
    return is_free and os.access(_MEMORY_DISK, os.W_OK) and not _is_small()


def _is_small() -> bool:
    for place in _MEMORY_LIMITS:
        with suppress(OSError, ValueError):
            return int(place.read_text()) < _MEMORY_LIMIT_BYTES
    return False
