"""From which lag, and from how many connections on, is it bad?"""

from collections.abc import Mapping, Sequence

from dbops.limits import Amount, Limit, Unit, limits

DEFAULTS: Mapping[Unit, Limit] = {
    "s": Limit(5.0, 30.0, "s"),
    "%": Limit(80.0, 90.0, "%"),
}


def thresholds(warn: Sequence[Amount], fail: Sequence[Amount]) -> Mapping[Unit, Limit]:
    """Return the thresholds for the lag in seconds and for connections in percent.

    Raises:
        UsageError: If another unit is given, or one that fails before it warns.
    """
    return limits(DEFAULTS, warn=warn, fail=fail)
