"""Some of many things at once."""

import asyncio
from collections.abc import Awaitable, Callable


async def in_lanes(lane: Callable[[], Awaitable[None]], number: int) -> None:
    """Run `lane` so many times at once; a cancellation waits until all have ended.

    Raises:
        Exception: What the first of them raises that fails.
    """

    async def ended() -> None:
        await lane()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(number):
                group.create_task(ended())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
