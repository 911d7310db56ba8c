"""From when on is an answer too slow, or missing too often?"""

from collections.abc import Mapping, Sequence

from dbops.limits import Amount, Limit, Unit, limits

# How fast is fast enough depends on the network; a single lost connection is worth a
# word anywhere.
DEFAULTS: Mapping[Unit, Limit] = {
    "s": Limit(None, None, "s"),
    "%": Limit(1e-6, 50.0, "%"),
}
CERTIFICATE = (30, 7)
"""With so many days left, a certificate is worth a warning, or fails."""


def thresholds(warn: Sequence[Amount], fail: Sequence[Amount]) -> Mapping[Unit, Limit]:
    """Return the thresholds for the total time, and for the share that failed.

    Raises:
        UsageError: If another unit is given, or one that fails before it warns.
    """
    return limits(DEFAULTS, warn=warn, fail=fail)
