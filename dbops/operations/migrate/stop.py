"""How does a command that is cancelled end what env.py does in its own thread?"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress


class Stopped(BaseException):
    """Ends env.py from within: nobody's `except Exception` may go on."""


class Stop:
    """A request to end, and how to pass it on to the statement under way."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cancel: Callable[[], None] | None = None

    def check(self) -> None:
        """Go on, or not.

        Raises:
            Stopped: If the command was cancelled.
        """
        if self._wanted.is_set():
            raise Stopped

    def wait(self, limit_s: float) -> None:
        """Let time pass, and end early when the command is cancelled.

        Raises:
            Stopped: If the command was cancelled.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._wanted.wait(limit_s)
        self.check()

    def reaches(self, cancel: Callable[[], None]) -> None:
        """Note, from env.py's thread, how to end its statement.

        Args:
            cancel: Ends the statement of a synchronous driver, from any thread.
        """
        self._loop, self._cancel = None, cancel
        with suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()

    def ask(self) -> None:
        """Ask env.py to end, from another thread."""
        self._wanted.set()
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it has closed: nothing is under way
                loop.call_soon_threadsafe(_cancel_all, loop)
        elif self._cancel is not None:
            # A thread of its own: the driver waits for a server that may be silent.
            threading.Thread(target=self._end_statement, daemon=True).start()

    def _end_statement(self) -> None:
        # What cannot be cancelled any more has ended.
        with suppress(Exception):
            if self._cancel is not None:
                self._cancel()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
