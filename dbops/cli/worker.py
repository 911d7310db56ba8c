"""A process that runs a command's env.py for one target after another.

It is started by `workers`. Settings come in over stdin and ends go out over stdout,
each behind its length, and so does what is said meanwhile; what env.py prints goes to
stderr. It ends when stdin does: so it never outlives the command that started it,
whatever ended that one.
"""

import asyncio
import contextlib
import io
import json
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from dbops.cli.attempt import Attempts
from dbops.cli.call import Call, Command, Errand
from dbops.cli.ended import Ended
from dbops.cli.garbage import collect_seldom
from dbops.cli.hush import hush_libraries
from dbops.results import Result
from dbops.settings import Settings

if TYPE_CHECKING:
    from dbops.settings.model import WaitFor

GRACE_S = 10.0
"""How long a statement may take to end after it was cancelled."""
LENGTH_BYTES = 8

Inbox = asyncio.Queue[Any]


class Orders(NamedTuple):
    """What is to be done with every target."""

    name: str
    errand: Errand
    flags: Mapping[str, Any]
    waits_for: "WaitFor | None"
    startup_s: float

    def command(self) -> Command:
        """Return the command, with the operation that could not travel."""
        module, _, name = self.errand.body.partition(":")
        body = getattr(import_module(module), name)

        async def operation(call: Call) -> Result | int:
            answer: Result | int = await body(call, **self.errand.own)
            return answer

        return Command(
            self.name,
            operation,
            self.flags,
            waits_for=self.waits_for,
            startup_s=self.startup_s,
        )


class Job(NamedTuple):
    """One target to work on."""

    target: str
    settings: Settings


def main() -> None:
    """Work until there is nothing left; the entry point of the process."""
    collect_seldom()
    # Ctrl-C at a terminal reaches us too; the command that started us passes it on.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 # a device
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    hush_libraries()
    with contextlib.suppress(BrokenPipeError), contextlib.redirect_stdout(sys.stderr):
        asyncio.run(_serve(inbox, _Outbox(outbox)))


class _Outbox:
    """Where ends and notices go; notices also come from the thread of an env.py."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def tell(self, **told: object) -> None:
        """Send one of them."""
        frame = json.dumps(told).encode()
        with self._lock:
            self._stream.write(len(frame).to_bytes(LENGTH_BYTES) + frame)
            self._stream.flush()


async def _serve(inbox: IO[bytes], outbox: _Outbox) -> None:
    loop = asyncio.get_running_loop()
    jobs: Inbox = asyncio.Queue()
    serving = asyncio.current_task()
    assert serving is not None  # we are in it  # noqa: S101
    with contextlib.suppress(NotImplementedError):  # on Windows
        loop.add_signal_handler(signal.SIGTERM, serving.cancel)
    threading.Thread(
        target=_read, args=(inbox, loop, jobs, serving), daemon=True
    ).start()
    with contextlib.suppress(asyncio.CancelledError):
        orders: Orders = await jobs.get()
        attempts = Attempts(
            orders.command(),
            shows_steps=False,
            is_one_of_many=True,
            notice=lambda text: outbox.tell(said=text),
        )
        while True:
            ended = await _done(attempts, await jobs.get())
            outbox.tell(ended=ended.told())


async def _done(attempts: Attempts, job: Job) -> Ended:
    # What the operation writes to stdout itself belongs to the command's stdout.
    sys.__stdout__ = written = io.StringIO()  # type: ignore[assignment, misc] # any text stream will do
    ended = await attempts.on(job.target, job.settings)
    return replace(ended, out=written.getvalue())


def _read(
    inbox: IO[bytes],
    loop: asyncio.AbstractEventLoop,
    jobs: Inbox,
    serving: asyncio.Task[Any],
) -> None:
    """Hand on what comes in; at its end, stop what is under way."""
    with contextlib.suppress(RuntimeError):  # the loop has closed: all is done
        while length := int.from_bytes(inbox.read(LENGTH_BYTES)):
            job = pickle.loads(inbox.read(length))  # noqa: S301 # from whoever started us
            loop.call_soon_threadsafe(jobs.put_nowait, job)
        loop.call_soon_threadsafe(serving.cancel)
    time.sleep(GRACE_S)
    # Whatever still goes on does not listen: a revision that computes, or sleeps.
    os._exit(1)
