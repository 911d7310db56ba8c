"""The samples on a terminal, until somebody leaves."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Generator
from contextlib import ExitStack, contextmanager
from typing import TextIO

from dbops.cli.watch.console import Canvas, taken
from dbops.cli.watch.enough import Enough
from dbops.cli.watch.frame import frame
from dbops.cli.watch.history import History
from dbops.cli.watch.keyboard import Keyboard
from dbops.cli.watch.looks import Looks
from dbops.operations.watch import Sample


async def viewed(
    samples: AsyncIterator[Sample],
    stream: TextIO,
    enough: Enough,
    target: str,
) -> int:
    """Draw each sample; return 0 for who leaves, else the last one's exit code.

    The terminal is as it was before connections are closed: that may take a moment.
    """
    view = _View(stream, target)
    seen = asyncio.ensure_future(view.follow(samples, enough))
    left = asyncio.ensure_future(view.left.wait())
    try:
        with view.shown():
            await asyncio.wait({seen, left}, return_when=asyncio.FIRST_COMPLETED)
        return seen.result() if seen.done() else 0
    finally:
        for task in (seen, left):
            task.cancel()
        await asyncio.gather(seen, left, return_exceptions=True)


class _View:
    """What is shown, and when it is drawn again."""

    def __init__(self, stream: TextIO, target: str) -> None:
        self.left = asyncio.Event()
        self._canvas = Canvas(stream)
        self._keyboard = Keyboard(self.left.set)
        leave = "q leaves" if self._keyboard.is_there else "Ctrl-C leaves"
        self._looks = Looks(target, leave, is_plain=self._canvas.is_plain)
        self._history = History()
        self._last: Sample | None = None

    @contextmanager
    def shown(self) -> Generator[None]:
        """Own the terminal for a block."""
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGWINCH: self._draw, signal.SIGTSTP: self._suspend}
        with taken(self._canvas, self._keyboard), ExitStack() as stack:
            for number, act in handlers.items():
                loop.add_signal_handler(number, act)
                stack.callback(loop.remove_signal_handler, number)
            self._draw()
            yield

    async def follow(self, samples: AsyncIterator[Sample], enough: Enough) -> int:
        """Draw each sample, and return the last one's exit code."""
        async for sample in samples:
            self._history.add(sample)
            self._last = sample
            self._draw()
            if enough.is_after(sample):
                break
        return enough.code

    def _draw(self) -> None:
        picture = frame(self._last, self._history, self._canvas.size, self._looks)
        self._canvas.draw(picture)

    def _suspend(self) -> None:
        """Stop, as Ctrl-Z asks, with the terminal as it was; go on from here."""
        for it in (self._keyboard, self._canvas):
            it.give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        for it in (self._canvas, self._keyboard):
            it.take()
        self._draw()
