"""Which form do the samples take?"""

from contextlib import aclosing

from dbops.cli.attempt import real_stdout
from dbops.cli.call import Call
from dbops.cli.watch.enough import Enough
from dbops.cli.watch.lines import printed
from dbops.errors import UsageError
from dbops.operations.doctor.choices import Choices
from dbops.operations.watch import thresholds, watch


async def show(call: Call, choices: Choices) -> int:
    """Show samples until somebody leaves, or there are enough.

    Args:
        call: The command as it was called.
        choices: What the user said about the doctor's checks.

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
    enough = Enough(settings.count, settings.timeout, settings.interval)
    stream, as_json = real_stdout(), settings.format == "json"
    found = watch(call.connectors, limits=limits, choices=choices)
    async with aclosing(found) as samples:
        if stream.isatty() and not as_json:
            from dbops.cli.watch.console import is_capable  # noqa: PLC0415 # with rich
            from dbops.cli.watch.live import viewed  # noqa: PLC0415 # same

            if is_capable(stream):
                every_s = settings.interval
                return await viewed(
                    samples, stream, enough, call.target, every_s=every_s
                )
        return await printed(samples, stream, enough, call.target, as_json=as_json)
