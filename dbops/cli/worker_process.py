"""One worker process, as the command sees it that has started it."""

import asyncio
import contextlib
import json
import pickle
import signal
from collections import deque
from collections.abc import Callable
from time import monotonic

from dbops.cli.ended import Ended, lost
from dbops.cli.render import write_notice
from dbops.cli.target import Target
from dbops.cli.worker import GRACE_S, LENGTH_BYTES, Job, Orders

_KEPT_LINES = 20
_LAST_WORDS_S = 1.0

Done = Callable[[Ended], None]


class Worker:
    """A process that works on one target after another.

    Args:
        process: With pipes for all three streams.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._target: Target | None = None
        self._printed: deque[str] = deque(maxlen=_KEPT_LINES)
        self._hearing = asyncio.ensure_future(self._hear())
        self.is_lost = False

    def send(self, what: Orders | Job) -> None:
        """Hand over a pickle: what is in it must not be seen on a command line."""
        told = pickle.dumps(what)
        assert self._process.stdin is not None  # a pipe  # noqa: S101
        self._process.stdin.write(len(told).to_bytes(LENGTH_BYTES) + told)

    async def do(self, target: Target, done: Done) -> None:
        """Have one target worked on; a cancellation is passed on and waited for."""
        started = monotonic()
        self._target = target
        self._printed.clear()
        self.send(Job(target.name, target.settings))
        answer = asyncio.ensure_future(self._answer(target.name))
        try:
            ended = await asyncio.shield(answer)
        except asyncio.CancelledError:
            await self._interrupt(answer, done)
            raise
        if ended is None:
            self.is_lost = True
            how = _how(await self._exited(_LAST_WORDS_S))
            await asyncio.wait([self._hearing], timeout=_LAST_WORDS_S)
            ended = lost(target.name, how, took_s=monotonic() - started)
        if ended.problem is not None:
            self._show_printed(target)
        done(ended)

    async def leave(self) -> None:
        """Let the process end: there is nothing more to do."""
        assert self._process.stdin is not None  # a pipe  # noqa: S101
        self._process.stdin.close()
        if await self._exited(GRACE_S) is None:
            # A thread that env.py has left behind, or a revision that does not listen.
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._exited(_LAST_WORDS_S)
        self._hearing.cancel()

    async def _exited(self, limit_s: float) -> int | None:
        """Wait for the exit code; None when the process goes on.

        asyncio waits for the pipes too, and a program that env.py has started may
        keep those.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._process.wait()
        return self._process.returncode

    async def _interrupt(
        self, answer: "asyncio.Future[Ended | None]", done: Done
    ) -> None:
        """Have the statement under way cancelled on the server; take what is said."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        await asyncio.wait([answer], timeout=GRACE_S)
        if answer.done() and (ended := answer.result()) is not None:
            done(ended)
        answer.cancel()

    async def _answer(self, target: str) -> Ended | None:
        """Read one end, say what is said before it; None when the process ends."""
        stdout = self._process.stdout
        assert stdout is not None  # a pipe  # noqa: S101
        while True:
            try:
                length = int.from_bytes(await stdout.readexactly(LENGTH_BYTES))
                told = json.loads(await stdout.readexactly(length))
            except asyncio.IncompleteReadError:
                return None
            if "ended" in told:
                return Ended.heard(target, told["ended"])
            write_notice(told["said"])

    async def _hear(self) -> None:
        """Keep what env.py prints: it says nothing of which target it is about."""
        stderr = self._process.stderr
        assert stderr is not None  # a pipe  # noqa: S101
        rest = b""
        while chunk := await stderr.read(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            self._printed.extend(line.decode(errors="replace") for line in lines)
            if self._target is not None and self._target.settings.verbose:
                self._show_printed(self._target)

    def _show_printed(self, target: Target) -> None:
        if not target.settings.quiet:
            for line in self._printed:
                write_notice(f"{target.name}| {line}")
        self._printed.clear()


def _how(code: int | None) -> str:
    if code is None:
        return "gave no answer"
    if code >= 0:
        return f"exited with {code}"
    return f"was ended by {signal.Signals(-code).name}"
