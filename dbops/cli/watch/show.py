"""Which form do the samples take?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from time import monotonic

from dbops.cli.attempt import real_stdout
from dbops.cli.call import Call
from dbops.cli.watch.enough import Enough
from dbops.cli.watch.lines import printed
from dbops.errors import UsageError
from dbops.operations.doctor.choices import Choices
from dbops.operations.watch import Sample, thresholds, watch

_MARGIN, _LEAST_MARGIN_S, _MOST_MARGIN_S = 0.1, 0.2, 1.0


async def show(call: Call, choices: Choices, *, began: float) -> int:
    """Show samples until somebody leaves, or there are enough.

    Args:
        call: The command as it was called.
        choices: What the user said about the doctor's checks.
        began: Since when the overall time-out runs, on the monotonic clock.

    Returns:
        The exit code: of the last sample where a count or a time-out ended it, and 0
        for who leaves.

    Raises:
        UsageError: If the format is one of a single answer, or a threshold makes no
            sense.
        DbopsError: As `watch`.
    """
    settings = call.settings
    if settings.format not in ("human", "json"):
        raise UsageError(
            f"watch does not speak {settings.format}",
            hint="use --format human, or json for one document a line",
        )
    limits = thresholds(settings.warn, settings.fail)
    enough, limit_s = Enough(settings.count), settings.timeout
    found = watch(call.connectors, limits=limits, choices=choices)
    try:
        async with aclosing(found) as samples, asyncio.timeout(_left_s(limit_s, began)):
            return await _shown(call, samples, enough)
    except TimeoutError:
        if not enough.is_any:
            raise
        return enough.code


async def _shown(call: Call, samples: AsyncIterator[Sample], enough: Enough) -> int:
    stream, as_json = real_stdout(), call.settings.format == "json"
    if stream.isatty() and not as_json:
        from dbops.cli.watch.console import is_capable  # noqa: PLC0415 # with rich
        from dbops.cli.watch.live import viewed  # noqa: PLC0415 # same

        if is_capable(stream):
            return await viewed(samples, stream, enough, call.target)
    return await printed(samples, stream, enough, call.target, as_json=as_json)


def _left_s(limit_s: float | None, began: float) -> float | None:
    """Leave time to close, before the overall time-out would be an error."""
    if limit_s is None:
        return None
    margin_s = min(max(limit_s * _MARGIN, _LEAST_MARGIN_S), _MOST_MARGIN_S)
    return max(began + limit_s - margin_s - monotonic(), 0.0)
