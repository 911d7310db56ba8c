"""From which share of the usable connections on is a demand too much?"""

from collections.abc import Mapping, Sequence

from dbops.limits import Amount, Limit, Unit, limits

DEFAULTS: Mapping[Unit, Limit] = {"%": Limit(85, 100, "%")}


def thresholds(warn: Sequence[Amount], fail: Sequence[Amount]) -> Limit:
    """Return the thresholds of the budget, in percent of what is usable.

    Raises:
        UsageError: If another unit is given, or one that fails before it warns.
    """
    return limits(DEFAULTS, warn=warn, fail=fail)["%"]
