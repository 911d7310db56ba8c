"""A terminal that is drawn upon, and given back as it was."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live

from dbops.cli.watch.keyboard import Keyboard


def is_capable(stream: TextIO) -> bool:
    """Tell whether a terminal can be drawn upon, and its keys be heard here."""
    try:
        import termios  # noqa: F401, PLC0415 # not everywhere
    except ImportError:
        return False
    return not Console(file=stream).is_dumb_terminal


class Canvas:
    """The whole terminal, while it is ours.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._console = Console(
            file=stream, force_terminal=True, highlight=False, markup=False, emoji=False
        )
        self._live: Live | None = None
        self.is_plain = not self._console.encoding.startswith("utf")
        """Whether it lacks most characters; they become question marks."""
        if self.is_plain and isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        with suppress(OSError):
            columns, lines = os.get_terminal_size(self._stream.fileno())
            if columns and lines:
                return columns, lines
        return 80, 24

    def draw(self, frame: RenderableType) -> None:
        """Replace what is shown."""
        if self._live is not None:
            self._console.size = self.size
            self._live.update(frame, refresh=True)

    def take(self) -> None:
        """Switch to the other screen, without a cursor."""
        self._live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def give_back(self) -> None:
        """Switch back to what was there before."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()


@contextmanager
def taken(*ours: Canvas | Keyboard) -> Generator[None]:
    """Take them for the block, and give them back whatever happens in it."""
    done: list[Canvas | Keyboard] = []
    try:
        for it in ours:
            done.append(it)
            it.take()
        yield
    finally:
        _give_back(done)


def _give_back(done: list[Canvas | Keyboard]) -> None:
    """Give all of them back, the last one first, also where one cannot be."""
    if done:
        try:
            done.pop().give_back()
        finally:
            _give_back(done)
