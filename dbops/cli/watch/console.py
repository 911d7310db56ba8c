"""A terminal that is drawn upon, and given back as it was."""

import asyncio
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.live import Live

_ESCAPE = b"\x1b"
_LEAVING = frozenset(b"qQ\x03\x04")
# The rest of an arrow key follows its escape sooner than this.
_ALONE_S = 0.1


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

    @property
    def is_plain(self) -> bool:
        """Whether it has ASCII only."""
        return not self._console.encoding.startswith("utf")

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


class Keyboard:
    """Single keys, unseen, while it is ours.

    Args:
        leave: Called for q, Esc and Ctrl-D; Ctrl-C is a signal.
    """

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave
        self._loop = asyncio.get_running_loop()
        self._fd = _keyboard()
        self._saved: list[Any] | None = None
        self._alone: asyncio.TimerHandle | None = None

    def take(self) -> None:
        """Hear each key at once, and show none."""
        import termios  # noqa: PLC0415 # not everywhere

        if self._fd is None:
            return
        self._saved = termios.tcgetattr(self._fd)
        changed = termios.tcgetattr(self._fd)
        changed[3] &= ~(termios.ECHO | termios.ICANON)
        changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._fd, termios.TCSADRAIN, changed)
        self._loop.add_reader(self._fd, self._hear)

    def give_back(self) -> None:
        """Restore what was there before; what was typed meanwhile is dropped."""
        import termios  # noqa: PLC0415 # not everywhere

        if self._fd is None or self._saved is None:
            return
        if self._alone is not None:
            self._alone.cancel()
        self._loop.remove_reader(self._fd)
        saved, self._saved = self._saved, None
        # A terminal that was closed meanwhile has nothing to restore.
        with suppress(termios.error):
            termios.tcsetattr(self._fd, termios.TCSAFLUSH, saved)

    def _hear(self) -> None:
        assert self._fd is not None  # it has been added  # noqa: S101
        try:
            keys = os.read(self._fd, 64)
        except OSError:
            keys = b""
        if self._alone is not None:
            self._alone.cancel()
            self._alone = None
        if not keys:
            self._loop.remove_reader(self._fd)
        elif keys == _ESCAPE:
            self._alone = self._loop.call_later(_ALONE_S, self._leave)
        elif not keys.startswith(_ESCAPE) and not _LEAVING.isdisjoint(keys):
            self._leave()


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


def _keyboard() -> int | None:
    """Return where keys are typed; None where nobody can."""
    with suppress(AttributeError, ValueError, OSError):
        if sys.__stdin__ is not None and sys.__stdin__.isatty():
            return sys.__stdin__.fileno()
    return None
