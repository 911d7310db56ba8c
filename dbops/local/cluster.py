"""How does one server come to life?"""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dbops.errors import FailedError
from dbops.local.account import Programs
from dbops.local.cleanup import finish
from dbops.local.folders import write_private
from dbops.local.processes import is_alive, is_server, read_pid_file
from dbops.local.spawn import POLL_S, spawn
from dbops.local.state import HOST
from dbops.local.stopping import orphans_gone

_START_S = 60.0
_PORT_ATTEMPTS = 5
_PORT_TAKEN = ("could not bind", "could not create any TCP/IP sockets")


class PortTakenError(Exception):
    """Somebody else listens on the port; another one will do."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One data folder, with its configuration and its log beside it."""

    programs: Programs
    folder: Path
    role: str
    dies_with_us: bool

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / self.role

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / f"{self.role}.log"

    @property
    def conf(self) -> Path:
        """The configuration file."""
        return self.folder / f"{self.role}.conf"


async def start(
    cluster: Cluster, sockets: Path, port: int | None, text: Callable[[int], str]
) -> int:
    """Start a server, and wait until it can be connected to.

    A port that was free a moment ago may be taken, so another is tried then.

    Args:
        cluster: The server.
        sockets: Its socket folder.
        port: The port that it should have; None for any.
        text: Writes its configuration file for a port.

    Returns:
        The port that it has.

    Raises:
        FailedError: If it does not start.
    """
    for _ in range(_PORT_ATTEMPTS):
        port = port or free_port()
        await _clear_stale(cluster.data, sockets, port)
        configure(cluster, text(port))
        try:
            await _launch(cluster)
        except PortTakenError:
            port = None
        else:
            return port
    raise FailedError(
        f"found no free port for the {cluster.role} in {_PORT_ATTEMPTS} attempts",
        hint=f"its log is {cluster.log}",
        phase="local",
    )


def configure(cluster: Cluster, text: str) -> None:
    """Write the server's configuration file."""
    write_private(cluster.conf, text)
    cluster.programs.account.give(cluster.conf)


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def _clear_stale(data: Path, sockets: Path, port: int) -> None:
    """Remove what a dead server left that would stop the next one.

    Only called when no server runs on `data`. PostgreSQL clears most of it by itself,
    but takes a zombie and a stranger with the same process id for a living server.
    """
    if not await orphans_gone(data):
        raise FailedError(
            "processes of a server that died are still running",
            hint=f"they work in {data}",
            phase="local",
        )
    file = read_pid_file(data)
    # A process that is plainly gone is PostgreSQL's to judge: the file names the shared
    # memory by which it finds survivors.
    if file is not None and _exists(file.pid) and not is_server(file.pid, data):
        (data / "postmaster.pid").unlink(missing_ok=True)
    for name in (f".s.PGSQL.{port}", f".s.PGSQL.{port}.lock"):
        (sockets / name).unlink(missing_ok=True)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _launch(cluster: Cluster) -> None:
    programs = cluster.programs
    setting = f"config_file={cluster.conf}"
    command = [str(programs.path("postgres")), "-D", str(cluster.data), "-c", setting]
    descriptor = os.open(cluster.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "ab") as output:
        begin = output.tell()
        process = spawn(
            command,
            programs.account,
            output=output,
            death_signal=signal.SIGINT if cluster.dies_with_us else None,
        )
    try:
        await _ready(cluster, process, begin)
    except BaseException:
        await finish(_kill(process))
        raise


async def _ready(
    cluster: Cluster, process: subprocess.Popen[bytes], log_begin: int
) -> None:
    deadline = time.monotonic() + _START_S
    while process.poll() is None:
        file = read_pid_file(cluster.data)
        if file is not None and file.pid == process.pid and file.is_ready:
            return
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(POLL_S)
    said = _log_since(cluster.log, log_begin)
    if process.poll() is not None and any(words in said for words in _PORT_TAKEN):
        raise PortTakenError
    raise FailedError(
        f"the {cluster.role} did not start: {_reason(said)}",
        hint=f"its log is {cluster.log}",
        phase="local",
    )


async def _kill(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is None:
            with suppress(ProcessLookupError):
                process.send_signal(number)
        deadline = time.monotonic() + 3
        while is_alive(process.pid) and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
            process.poll()


def _log_since(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        return file.read(1 << 20).decode(errors="replace")


def _reason(said: str) -> str:
    lines = said.strip().splitlines() or ["it says nothing"]
    fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
    return (fatal or lines[-1:])[0].strip()
