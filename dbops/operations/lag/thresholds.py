"""From which lag on is it bad?"""

from collections.abc import Mapping, Sequence

from dbops.limits import Amount, Limit, Unit, limits

DEFAULTS: Mapping[Unit, Limit] = {
    "s": Limit(5.0, 30.0, "s"),
    "B": Limit(None, None, "B"),
}


def thresholds(warn: Sequence[Amount], fail: Sequence[Amount]) -> Mapping[Unit, Limit]:
    """Return the thresholds for seconds and for bytes; either trips.

    Raises:
        UsageError: If another unit is given, or one that fails before it warns.
    """
    return limits(DEFAULTS, warn=warn, fail=fail)


def patience_s(limits: Mapping[Unit, Limit], limit_s: float | None) -> float:
    """Return how long a token is waited for: until the failing threshold.

    Args:
        limits: The thresholds.
        limit_s: No longer than that; None for no such bound.
    """
    default_s = DEFAULTS["s"].fail or 0.0
    wanted_s = limits["s"].fail
    wanted_s = default_s if wanted_s is None else wanted_s
    return wanted_s if limit_s is None else max(min(wanted_s, limit_s), 0.0)
