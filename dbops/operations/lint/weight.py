"""How bad is it on a table of this size?"""

from dbops.operations.lint.rule import Effect
from dbops.operations.lint.table import Table
from dbops.settings.model import Severity

# Reading or writing so much anew takes milliseconds, and nobody notices.
SMALL_ROWS = 10_000
SMALL_BYTES = 16 * 1024**2
# It takes seconds or more, and everybody waits.
BIG_ROWS = 1_000_000
BIG_BYTES = 1024**3

_BY_SIZE: tuple[Effect, ...] = ("rewrite", "scan", "lock")


def weighed(effect: Effect, severity: Severity, table: Table | None) -> Severity:
    """Return how bad a finding is, given what is known of its table.

    A loss, a break and a refusal are as bad on a small table. Where the number of rows
    is not known, nothing is made better than the rule says.
    """
    if effect not in _BY_SIZE or table is None:
        return severity
    if (table.rows or 0) >= BIG_ROWS or (table.size_bytes or 0) >= BIG_BYTES:
        return "fail"
    if table.rows is None or table.size_bytes is None:
        return severity
    is_small = table.rows < SMALL_ROWS and table.size_bytes < SMALL_BYTES
    return "warn" if is_small else severity
