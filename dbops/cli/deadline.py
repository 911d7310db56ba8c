"""How much is left of the overall time-out?"""

from time import monotonic

from dbops.cli.call import Command
from dbops.settings import Settings

_LEAST_TIMEOUT_S = 0.1
_NO_TIME_S = 0.001


def deadline_of(
    settings: Settings, command: Command, *, began: float | None = None
) -> float | None:
    """Return when all of the time is over; None for never.

    Args:
        settings: How long there is.
        command: Starting it up has cost some of that.
        began: Since when it runs; None for now.
    """
    if settings.timeout is None:
        return None
    least_s = min(settings.timeout, _LEAST_TIMEOUT_S)
    left_s = max(settings.timeout - command.startup_s, least_s)
    return (monotonic() if began is None else began) + left_s


def with_time_left(settings: Settings, left_s: float | None) -> Settings:
    """Let whoever connects know how long there is.

    So that it gives up, and says which host was silent, before all of it is over.
    """
    if left_s is None:
        return settings
    return settings.with_timeout(max(left_s, _NO_TIME_S))
