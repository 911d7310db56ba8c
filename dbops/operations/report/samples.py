"""How far was the reader behind, over time?"""

from collections.abc import Callable
from contextlib import aclosing

from dbops.engine.connect import Connectors
from dbops.operations.report.answer import LagSample
from dbops.operations.watch import watch


async def sampled(
    connectors: Connectors,
    *,
    count: int,
    on_sample: Callable[[int], None] | None = None,
) -> tuple[LagSample, ...]:
    """Sample the lag once in every interval of the settings.

    Args:
        connectors: How to reach writer and reader.
        count: How many samples.
        on_sample: Told how many have been taken.

    Raises:
        DbopsError: If no server has ever answered, and waiting cannot help.
    """
    samples: list[LagSample] = []
    begun = None
    async with aclosing(watch(connectors, visits=False)) as seen:
        async for sample in seen:
            begun = begun or sample.sampled_at
            lag = sample.lag
            samples.append(
                LagSample(
                    at_s=round((sample.sampled_at - begun).total_seconds(), 3),
                    low_s=lag.low_s if lag else None,
                    high_s=lag.high_s if lag else None,
                )
            )
            if on_sample is not None:
                on_sample(len(samples))
            if len(samples) >= count:
                break
    return tuple(samples)
