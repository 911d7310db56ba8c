"""Single keys of a terminal, heard at once and never shown."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_ESCAPE = b"\x1b"
_LEAVING = frozenset(b"qQ\x04")
# The rest of an arrow key follows its escape sooner than this.
_ALONE_S = 0.1


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

    @property
    def is_there(self) -> bool:
        """Whether anybody can type."""
        return self._fd is not None

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


def _keyboard() -> int | None:
    """Return where keys are typed; None where nobody can."""
    with suppress(AttributeError, ValueError, OSError):
        if sys.__stdin__ is not None and sys.__stdin__.isatty():
            return sys.__stdin__.fileno()
    return None
