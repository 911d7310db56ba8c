"""How is a program of PostgreSQL started, and under whose account?"""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dbops.errors import FailedError
from dbops.local.cleanup import finish

POLL_S = 0.004
"""How often a program is asked whether it is done; pg_ctl asks every 100 ms."""

_GRACE_S = 2.0
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1

# A server outlives the object that started it; a dropped Popen would complain.
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class Account:
    """Whose account servers run under; the default is our own."""

    name: str = "own"
    uid: int | None = None
    gid: int | None = None
    is_namespace: bool = False
    """Stay who we are, and be `uid` only inside a user namespace."""

    @property
    def owns_files(self) -> bool:
        """Say whether files must be given to the account."""
        return self.uid is not None and not self.is_namespace

    def give(self, path: Path) -> Path:
        """Let the account own `path`, which must be ours."""
        if self.owns_files:
            os.chown(path, self.uid or 0, self.gid or 0, follow_symlinks=False)
        return path

    def make_private_folder(self, path: Path) -> Path:
        """Make a folder that only the account can look into."""
        path.mkdir(mode=0o700)
        return self.give(path)


def spawn(
    command: Sequence[str | Path],
    account: Account,
    *,
    output: IO[bytes],
    death_signal: signal.Signals | None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own.

    Args:
        command: The program and its arguments.
        account: Whose account it runs under.
        output: Where its stdout and stderr go.
        death_signal: What it gets when the calling thread dies (Linux only), or None
            to let it live on.
    """
    options: dict[str, Any] = {}
    if account.owns_files:
        options = {"user": account.uid, "group": account.gid, "extra_groups": []}
    prepare = _before_exec(account, death_signal)
    process = subprocess.Popen(  # noqa: S603 # our own argument list, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        # Nothing inherited: PG* and LD_* of our caller would reach the server.
        env={"LC_ALL": "C", "PATH": os.defpath, "HOME": "/"},
        cwd="/",
        umask=0o077,
        start_new_session=True,
        preexec_fn=prepare,  # noqa: PLW1509 # only system calls, see _before_exec
        **options,
    )
    reap()
    _children.append(process)
    return process


async def run(
    command: Sequence[str | Path],
    account: Account | None = None,
    *,
    timeout_s: float = 60,
) -> str:
    """Run a program to its end and return what it wrote.

    Raises:
        FailedError: If it fails or takes too long.
        OSError: If it cannot be started under the account.
    """
    with tempfile.TemporaryFile() as output:
        process = spawn(
            command,
            account or Account(),
            output=output,
            death_signal=signal.SIGKILL,
        )
        try:
            code = await _end(process, timeout_s)
        finally:
            if process.poll() is None:
                await finish(_give_up(process))
        output.seek(0)
        said = output.read().decode(errors="replace").strip()
    if code == 0:
        return said
    last = said.splitlines()[-1] if said else f"exit code {code}"
    raise FailedError(
        f"{Path(command[0]).name} {'failed' if code else 'took too long'}: {last}",
        phase="local",
    )


def reap() -> None:
    """Collect servers that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]


async def _give_up(process: subprocess.Popen[bytes]) -> None:
    """Let a program end by itself if it is quick, and kill it otherwise.

    A killed initdb leaves a megabyte of shared memory behind, which nobody collects
    before the machine restarts.
    """
    if await _end(process, _GRACE_S) is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _end(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    deadline = time.monotonic() + timeout_s
    while (code := process.poll()) is None:
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(POLL_S)
    return code


def _before_exec(
    account: Account, death_signal: signal.Signals | None
) -> Callable[[], None] | None:
    """Return what the child does between fork and exec: system calls only."""
    if sys.platform != "linux" or not (account.is_namespace or death_signal):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def prepare() -> None:
        if account.is_namespace:
            _enter_namespace(libc, account)
        # Last, because a change of credentials clears it.
        if death_signal is not None:
            libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


def _enter_namespace(libc: ctypes.CDLL, account: Account) -> None:
    """Become `account` inside a user namespace, and stay root for the files."""
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{account.uid} {uid} 1"),
        ("gid_map", f"{account.gid} {gid} 1"),
    ):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(descriptor, line.encode())
        os.close(descriptor)
