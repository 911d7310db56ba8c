"""Where do a test run's servers live, while its tests have event loops of their own?"""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class LoopThread:
    """A thread with an event loop, for as long as the block.

    The servers of a throw-away pair end with the thread that started them; and what
    runs here binds no loop of a test's.

    Example:
        with LoopThread() as thread:
            pair = thread.enter(throwaway())
            thread.call(coroutine())
    """

    def __init__(self) -> None:
        self._is_ready = threading.Event()
        self._stack = AsyncExitStack()
        # A run that never gets to its end must not be held up by us.
        self._thread = threading.Thread(
            target=self._live, name="dbops-pytest", daemon=True
        )

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        self._is_ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave what was entered, the last first, and end the thread."""
        try:
            self.call(self._stack.aclose())
        finally:
            self._loop.call_soon_threadsafe(self._is_over.set)
            self._thread.join()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` there, and wait for it.

        Raises:
            BaseException: Whatever `work` raises.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C wakes us and not the thread; it sees its tasks end.
            future.cancel()
            raise

    def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enter `context` there; it is left when the thread ends.

        Raises:
            BaseException: Whatever entering raises.
        """
        return self.call(self._stack.enter_async_context(context))

    def _live(self) -> None:
        # Not the policy's loop: that is the business of whoever tests.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            self._loop = runner.get_loop()
            self._is_over = asyncio.Event()
            self._is_ready.set()
            runner.run(self._until_over())

    async def _until_over(self) -> None:
        await self._is_over.wait()
        # What was cancelled may still be clearing up, by tasks of its own.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
