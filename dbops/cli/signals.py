"""SIGINT and SIGTERM end a command cleanly: its task is cancelled."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable
from typing import Any, TypeVar

from dbops.cli import exit_codes
from dbops.errors import Outcome
from dbops.results import Problem

T = TypeVar("T")


class Signals:
    """Turns SIGINT and SIGTERM into the cancellation of the command."""

    def __init__(self) -> None:
        self._received: signal.Signals | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of the signal that ended the command."""
        return exit_codes.of_signal(self._received or signal.SIGINT)

    async def watched(self, work: Awaitable[T]) -> T:
        """Run `work`, cancelling it at the first signal."""
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Not on Windows, where Ctrl-C raises KeyboardInterrupt all the same.
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, self._receive, number, task)
        try:
            return await task
        finally:
            if self._received is not None and not task.cancelled():
                raise asyncio.CancelledError

    def problem(self) -> Problem:
        """Say that the command was interrupted."""
        name = (self._received or signal.SIGINT).name
        return Problem(
            type="Interrupted",
            message=f"interrupted by {name}",
            hint="what was under way was cancelled; look at its state before you "
            "repeat it",
            retryable=True,
            outcome=Outcome.UNHEALTHY,
        )

    def _receive(self, number: signal.Signals, task: asyncio.Future[Any]) -> None:
        if self._received is not None:
            os._exit(exit_codes.of_signal(number))
        self._received = number
        task.cancel()
