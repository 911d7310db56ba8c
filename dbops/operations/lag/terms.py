"""What counts as bad, and how long may be waited?"""

from collections.abc import Mapping
from typing import NamedTuple

from dbops.limits import Limit, Unit
from dbops.operations.lag.thresholds import DEFAULTS


class Terms(NamedTuple):
    """What counts as bad, and how long may be waited."""

    limits: Mapping[Unit, Limit] = DEFAULTS
    """From which lag on it is bad; the failing one is waited for at most."""
    require_replica: bool = False
    """Fail, not warn, where the reader is the writer itself."""
    probe: bool = False
    """First write one record, so that something has to flow; not on Aurora."""
    limit_s: float | None = None
    """Wait no longer; less than the failing threshold may leave it uncertain."""
    deadline: float | None = None
    """When, on the clock of the loop, what is known by then has to do."""
