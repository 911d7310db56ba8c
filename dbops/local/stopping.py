"""How is a server told to stop, or to read its configuration again?"""

import asyncio
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dbops.errors import FailedError
from dbops.local.processes import is_alive, is_server, processes_on, server_pid
from dbops.local.spawn import POLL_S, reap

# What to send, and its share of the time: fast, immediate, and by force.
_GENTLY = ((signal.SIGINT, 0.6), (signal.SIGQUIT, 0.2), (signal.SIGKILL, 0.2))
_QUICKLY = ((signal.SIGQUIT, 0.6), (signal.SIGKILL, 0.4))


async def stop(data: Path, *, timeout_s: float = 10, is_quick: bool = False) -> None:
    """Stop the server that runs on `data`, if one does.

    Args:
        data: Its data folder.
        timeout_s: Seconds after which it is gone, by force if need be.
        is_quick: Do not write a checkpoint: for a folder that is deleted next.

    Raises:
        FailedError: If it survives all of it.
    """
    pid = server_pid(data)
    if pid is None:
        return
    for number, share in _QUICKLY if is_quick else _GENTLY:
        if is_server(pid, data):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if await _gone(pid, data, timeout_s * share):
            reap()
            return
    raise FailedError(
        f"the server with process id {pid} does not stop",
        hint=f"it works in {data}",
        phase="local",
    )


async def stop_all(
    folders: Iterable[Path], *, timeout_s: float = 10, is_quick: bool = False
) -> None:
    """Stop servers one after the other, the writer first.

    A writer that shuts down waits until its standby has received everything.
    """
    for data in folders:
        await stop(data, timeout_s=timeout_s, is_quick=is_quick)


def reload_configuration(data: Path) -> None:
    """Let the server that runs on `data`, if one does, read its configuration again."""
    pid = server_pid(data)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)


async def orphans_gone(data: Path, timeout_s: float = 10) -> bool:
    """Wait until the processes of a server that died have followed it."""
    deadline = time.monotonic() + timeout_s
    while processes_on(data):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


async def _gone(pid: int, data: Path, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return await orphans_gone(data, max(0.0, deadline - time.monotonic()))
