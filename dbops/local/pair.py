"""The local pair: a writer and its streaming standby, in the background.

`up`, `down` and `reset` are its life; `throwaway` runs one for a block of code.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from dbops.errors import ConfigError, LockedError
from dbops.local.account import Programs, check_reach, find_programs
from dbops.local.build import build_durable
from dbops.local.configuration import DURABLE
from dbops.local.folders import cache_home, file_errors, make_folder, pair_folder
from dbops.local.replay import lag, pause, promote, resume
from dbops.local.scratch import discard, scratch, sweep
from dbops.local.startup import Site, remove_sockets, start_pair
from dbops.local.state import Pair, Record, load, running, save
from dbops.local.status import LocalPair, LocalServer, found, status
from dbops.local.stopping import stop_all
from dbops.local.throwaway import throwaway

__all__ = [
    "LocalPair",
    "LocalServer",
    "Pair",
    "down",
    "lag",
    "pause",
    "promote",
    "reset",
    "resume",
    "running",
    "status",
    "throwaway",
    "up",
]

_LOCK_S = 60.0
_LOCK_POLL_S = 0.02


async def up(
    *,
    name: str = "default",
    cache_dir: Path | None = None,
    pg_bin: Path | None = None,
) -> LocalPair:
    """Start the pair, or what is missing of it; make it first if need be.

    The servers stay when we end, until `down`.

    Args:
        name: Which pair.
        cache_dir: The folder that everything local lives in; None means the user's.
        pg_bin: The folder with the server programs; None searches.

    Raises:
        UsageError: If the name is not one for a pair.
        ConfigError: If there are no server programs, they do not fit the data, or a
            folder cannot be used.
        RefusedError: If we are root and cannot run the servers as somebody else.
        LockedError: If another dbops works on the pair for too long.
        FailedError: If a server does not start; what was started is stopped then.
    """
    home = cache_home(cache_dir)
    with file_errors(home):
        async with _locked(pair_folder(home, name)) as folder:
            await _up(home, folder, pg_bin)
    return await status(name=name, cache_dir=cache_dir)


async def down(
    *, name: str = "default", cache_dir: Path | None = None, timeout_s: float = 10
) -> LocalPair:
    """Stop both servers, and keep their data.

    Args:
        name: Which pair.
        cache_dir: The folder that everything local lives in; None means the user's.
        timeout_s: Seconds for each server, after which it has been stopped by force.

    Raises:
        UsageError: If the name is not one for a pair.
        ConfigError: If the pair's files cannot be read.
        LockedError: If another dbops works on the pair for too long.
        FailedError: If a server survives.
    """
    home = cache_home(cache_dir)
    if pair_folder(home, name).exists():
        with file_errors(home):
            async with _locked(pair_folder(home, name)) as folder:
                await _down(folder, timeout_s)
    return await status(name=name, cache_dir=cache_dir)


async def reset(
    *,
    name: str = "default",
    cache_dir: Path | None = None,
    pg_bin: Path | None = None,
) -> LocalPair:
    """Delete the pair with its data, and start a new one.

    Raises:
        DbopsError: As `down` and `up`.
    """
    home = cache_home(cache_dir)
    with file_errors(home):
        async with _locked(pair_folder(home, name)) as folder:
            if folder.exists():
                # A pair whose pair.json is damaged is deleted all the same.
                with suppress(ConfigError):
                    await _down(folder, timeout_s=10)
                await discard(folder)
            await _up(home, folder, pg_bin)
    return await status(name=name, cache_dir=cache_dir)


async def _up(home: Path, folder: Path, pg_bin: Path | None) -> None:
    record = _known(folder)
    if record and record.writer_pid and record.reader_pid and pg_bin is None:
        save(folder, replace(record, wanted=True))
        return
    programs = await find_programs(home, pg_bin)
    if record is None:
        await _make(programs, folder)
    else:
        _check_version(programs, folder)
    site = Site(folder, programs, settings=DURABLE, dies_with_us=False)
    record = replace(
        record or Record(),
        binaries=programs.binaries.source,
        server_version=programs.binaries.release,
    )
    save(folder, await start_pair(site, record))


def _known(folder: Path) -> Record | None:
    return found(folder, load(folder)) if folder.exists() else None


async def _make(programs: Programs, folder: Path) -> None:
    """Build the pair beside its place, so that a folder in its place is whole."""
    check_reach(programs.account, folder.parent)
    await sweep(folder.parent)
    async with scratch(folder.parent) as fresh:
        await build_durable(programs, fresh)
        save(fresh, Record())
        fresh.rename(folder)


def _check_version(programs: Programs, folder: Path) -> None:
    made_by = (folder / "writer" / "PG_VERSION").read_text().strip()
    if made_by != str(programs.binaries.version):
        raise ConfigError(
            f"the data of the local pair is PostgreSQL {made_by}'s, and the programs "
            f"from {programs.binaries.source} are {programs.binaries.release}",
            hint="set DBOPS_PG_BIN to the other version, or start anew with: "
            "dbops local reset",
            phase="local",
        )


async def _down(folder: Path, timeout_s: float) -> None:
    await stop_all([folder / "writer", folder / "reader"], timeout_s=timeout_s)
    record = load(folder)
    remove_sockets(folder, record)
    save(folder, replace(record, wanted=False, writer_pid=None, reader_pid=None))


@asynccontextmanager
async def _locked(folder: Path) -> AsyncGenerator[Path]:
    """Keep other processes away from the pair for the block.

    Raises:
        LockedError: If one is busy with it for too long.
    """
    lock = make_folder(folder.parent) / f"{folder.name}.lock"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_S
        while not _took(descriptor):
            if time.monotonic() > deadline:
                raise LockedError(
                    f"another dbops is busy with the local pair {folder.name!r}",
                    hint="try again when it is done",
                    phase="local",
                )
            await asyncio.sleep(_LOCK_POLL_S)
        yield folder
    finally:
        os.close(descriptor)


def _took(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
