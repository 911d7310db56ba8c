"""How is the standby made to lag, to stop, or to take over?"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dbops.errors import FailedError, RefusedError, UsageError
from dbops.local.folders import cache_home, pair_folder
from dbops.local.processes import server_pid
from dbops.local.session import session
from dbops.local.spawn import POLL_S
from dbops.local.state import load, pair_of
from dbops.local.status import LocalPair, found, status

if TYPE_CHECKING:
    from dbops.engine.connect import Connection

_WAIT_S = 10.0
# The setting is a number of milliseconds in 31 bits.
_LONGEST_LAG_S = 2_147_483.0

_HAS_LAG = """
    SELECT setting = $1 FROM pg_catalog.pg_settings
     WHERE name = 'recovery_min_apply_delay'
"""
_IS_PAUSED = "SELECT pg_catalog.pg_get_wal_replay_pause_state() = 'paused'"
_IS_RESUMED = "SELECT NOT pg_catalog.pg_is_wal_replay_paused()"
_IS_WRITER = "SELECT NOT pg_catalog.pg_is_in_recovery()"


async def lag(
    seconds: float | None, *, name: str = "default", cache_dir: Path | None = None
) -> LocalPair:
    """Let the standby apply each commit so much later than the writer made it.

    Args:
        seconds: The delay, which replaces an earlier one; None or 0 removes it.
        name: Which pair.
        cache_dir: The folder that everything local lives in; None means the user's.

    Raises:
        UsageError: If the delay is negative or longer than 24 days.
        RefusedError: If the standby does not run, or is none any more.
    """
    delay_s = seconds or 0.0
    if not 0 <= delay_s <= _LONGEST_LAG_S:
        raise UsageError(f"a standby cannot lag by {delay_s:g} s", hint="use 0s to 24d")
    async with _standby(name, cache_dir) as standby:
        await delay_apply(standby, delay_s)
    return await status(name=name, cache_dir=cache_dir)


async def delay_apply(standby: "Connection", delay_s: float) -> None:
    """Let a standby apply each commit `delay_s` seconds late; 0 ends that.

    Raises:
        FailedError: If the standby does not take the setting over in time.
    """
    delay_ms = str(round(delay_s * 1000))
    await standby.execute(
        f"ALTER SYSTEM SET recovery_min_apply_delay = '{delay_ms}ms'"
        if delay_s
        else "ALTER SYSTEM RESET recovery_min_apply_delay"
    )
    await standby.execute("SELECT pg_catalog.pg_reload_conf()")
    await _until(standby, _HAS_LAG, delay_ms)


async def pause(*, name: str = "default", cache_dir: Path | None = None) -> LocalPair:
    """Stop the standby's replay; it goes on receiving.

    Raises:
        RefusedError: If the standby does not run, or is none any more.
    """
    async with _standby(name, cache_dir) as standby:
        await standby.execute("SELECT pg_catalog.pg_wal_replay_pause()")
        await _until(standby, _IS_PAUSED)
    return await status(name=name, cache_dir=cache_dir)


async def resume(*, name: str = "default", cache_dir: Path | None = None) -> LocalPair:
    """Let the standby replay again what it has received.

    Raises:
        RefusedError: If the standby does not run, or is none any more.
    """
    async with _standby(name, cache_dir) as standby:
        await standby.execute("SELECT pg_catalog.pg_wal_replay_resume()")
        await _until(standby, _IS_RESUMED)
    return await status(name=name, cache_dir=cache_dir)


async def promote(*, name: str = "default", cache_dir: Path | None = None) -> LocalPair:
    """Make the standby a second writer, which it stays until `reset`.

    Raises:
        RefusedError: If the standby does not run, or is none any more.
        FailedError: If it does not take over in time.
    """
    async with _standby(name, cache_dir) as standby:
        await standby.execute("SELECT pg_catalog.pg_promote(false)")
        await _until(standby, _IS_WRITER)
    return await status(name=name, cache_dir=cache_dir)


@asynccontextmanager
async def _standby(name: str, cache_dir: Path | None) -> AsyncGenerator["Connection"]:
    """Connect to the pair's standby.

    Raises:
        RefusedError: If it does not run, or is none any more.
    """
    folder = pair_folder(cache_home(cache_dir), name)
    if server_pid(folder / "reader") is None:
        raise RefusedError(
            f"the standby of the local pair {name!r} is not running",
            hint="start it with: dbops local up",
            phase="local",
        )
    pair = pair_of(name, folder, found(folder, load(folder)))
    async with session(pair.reader) as connection:
        if await connection.fetchval(_IS_WRITER):
            raise RefusedError(
                "the reader of the local pair was promoted: it is no standby any more",
                hint="make a new pair with: dbops local reset",
                phase="local",
            )
        yield connection


async def _until(standby: "Connection", question: str, *values: str) -> None:
    """Ask until the answer is yes."""
    deadline = time.monotonic() + _WAIT_S
    while not await standby.fetchval(question, *values):
        if time.monotonic() > deadline:
            raise FailedError(
                f"the standby has not done it in {_WAIT_S:g} s", phase="local"
            )
        await asyncio.sleep(POLL_S)
