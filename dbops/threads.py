"""Blocking calls that can be given up.

`asyncio.to_thread` cannot: its executor is joined when the loop closes, so one silent
name server or secret store would hold a command for as long as it likes.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_daemon_thread(call: Callable[[], T]) -> T:
    """Run `call` in a thread of its own and return what it returns.

    Cancelling abandons the thread: it ends by itself, or with the process.

    Raises:
        BaseException: Whatever `call` raises.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        value, error = None, None
        try:
            value = call()
        except BaseException as raised:  # noqa: BLE001 # handed to the awaiting task
            error = raised
        try:
            loop.call_soon_threadsafe(_deliver, answer, value, error)
        except RuntimeError:
            return  # the loop has closed: nobody waits any more

    threading.Thread(target=run, name="dbops-blocking-call", daemon=True).start()
    return await answer


def _deliver(
    answer: asyncio.Future[T], value: T | None, error: BaseException | None
) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(value)  # type: ignore[arg-type] # a T when no error
    elif isinstance(error, StopIteration):
        # A future refuses it, and would leave its task waiting for ever.
        answer.set_exception(RuntimeError("the blocking call raised StopIteration"))
    else:
        answer.set_exception(error)
