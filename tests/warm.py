"""How does a test start a program hundreds of times without importing its libraries?

A process that has imported them waits here, and forks for each command line. What it
forks is a process like any other: its own arguments, environment, folder, pipes and
end. A command of dbops imports all of dbops itself; only what others wrote is there
already.

Run as a program, this file is the process that waits.
"""

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from threading import Lock
from typing import NamedTuple

# What a probe imports. What reads the environment as it is imported is not among them.
LIBRARIES = (
    "asyncpg",
    "encodings.idna",
    "pydantic_settings",
    "rich.console",
    "rich.table",
    "tomllib",
    "typer",
)
SCHEMA_LIBRARIES = (*LIBRARIES, "alembic.config", "sqlalchemy.ext.asyncio")
"""What a command imports that has to do with revisions."""
PROJECT_LIBRARIES = (
    *SCHEMA_LIBRARIES,
    "dbops.cli.app",
    "dbops.cli.run",
    "dbops.operations.migrate.at_head.answer",
    "dbops.operations.migrate.upgrade",
    "psycopg",
    "psycopg2",
    "sqlalchemy.orm",
)
"""What dbops and Alembic import that upgrade some project of Alembic."""
_LONGEST = 1 << 20
# Python, its C library and coverage read them before anybody can change them.
_EARLY = ("PYTHON", "LC_", "LANG", "LD_", "COVERAGE_", "TYPER_", "PYDANTIC_")


class Order(NamedTuple):
    """A process that is wanted."""

    words: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    script: str | None = None
    """The script of an installed package; None for `python -m dbops`."""


class Warm:
    """A process that has imported `libraries`, and forks for each order."""

    def __init__(self, libraries: Iterable[str], env: Mapping[str, str]) -> None:
        """Start it in an environment; it ends when we do."""
        self._early = _early(env)
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), *libraries],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                # Python finds out at its start what it writes to, and stays with that.
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
            )

    def takes(self, env: Mapping[str, str]) -> bool:
        """Tell whether a process with this environment can be had."""
        return _early(env) == self._early

    def run(self, order: Order, timeout_s: float) -> tuple[int, str, str]:
        """Run it; return its exit code, what it wrote, and its complaints.

        Raises:
            subprocess.TimeoutExpired: If it takes too long; it is killed.
        """
        (out, out_end), (err, err_end), (end, end_end) = (os.pipe() for _ in range(3))
        theirs = [out_end, err_end, end_end]
        try:
            with self._lock:
                socket.send_fds(self._orders, [json.dumps(order).encode()], theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        said = {out: b"", err: b"", end: b""}
        is_done = _read(said, time.monotonic() + timeout_s)
        pid, _, code = said[end].decode().partition("\n")
        if not is_done:
            if not code:
                os.kill(int(pid), signal.SIGKILL)
            raise subprocess.TimeoutExpired(list(order.words), timeout_s, said[out])
        return int(code), said[out].decode(), said[err].decode()

    def close(self) -> None:
        """End the process."""
        self._orders.close()
        _, complaints = self._process.communicate()
        assert not self._process.returncode, complaints


def _early(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_EARLY)}


def _read(said: dict[int, bytes], deadline: float) -> bool:
    """Read pipes and close them; tell whether all ended before the time was up."""
    with selectors.DefaultSelector() as selector:
        for descriptor in said:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map() and (left_s := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                some = os.read(key.fd, _LONGEST)
                said[key.fd] += some
                if not some:
                    selector.unregister(key.fd)
        is_done = not selector.get_map()
    for descriptor in said:
        os.close(descriptor)
    return is_done


def wait_for_orders(orders: socket.socket) -> Order:
    """Fork for each order; return it in the process that shall carry it out."""
    selector = selectors.DefaultSelector()
    selector.register(orders, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                _tell_end(*key.data)
                selector.unregister(key.fd)
                os.close(key.fd)
                continue
            message, theirs, _, _ = socket.recv_fds(
                orders, _LONGEST, 3, socket.MSG_CMSG_CLOEXEC
            )
            if not message:
                sys.exit()
            pid = os.fork()
            if not pid:
                _take_over(theirs[:2])
                return Order(*json.loads(message))
            out, err, end = theirs
            os.write(end, b"%d\n" % pid)
            os.close(out)
            os.close(err)
            selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, end))


def _tell_end(pid: int, end: int) -> None:
    _, status = os.waitpid(pid, 0)
    # Who had it killed does not listen any more.
    with suppress(BrokenPipeError):
        os.write(end, b"%d" % os.waitstatus_to_exitcode(status))
    os.close(end)


def _take_over(pipes: Iterable[int]) -> None:
    """Make the pipes our stdout and stderr, and forget all other orders."""
    for number, descriptor in enumerate(pipes, 1):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.default_int_handler)


def carry_out(order: Order) -> None:
    """Be the process that is wanted."""
    os.environ.clear()
    os.environ.update(order.env)
    time.tzset()
    os.chdir(order.cwd)
    if order.script is not None:
        # The folder of a script is on the path, and not the one where it is started.
        del sys.path[0]
        sys.argv = [order.script, *order.words]
        (script,) = entry_points(group="console_scripts", name=order.script)
        sys.exit(script.load()())
    sys.path[0] = order.cwd
    sys.argv = ["dbops", *order.words]
    runpy.run_module("dbops", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    # Ctrl-C is for pytest, and for what was ordered.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for library in sys.argv[2:]:
        importlib.import_module(library)
    gc.freeze()
    carry_out(wait_for_orders(socket.socket(fileno=int(sys.argv[1]))))
