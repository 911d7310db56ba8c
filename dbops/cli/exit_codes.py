"""The exit code of every outcome; README has the same table."""

from dbops.errors import Outcome

EXIT_CODES = {
    Outcome.OK: 0,
    Outcome.UNHEALTHY: 1,
    Outcome.USAGE: 2,
    Outcome.PENDING: 3,
    Outcome.CONFIG: 4,
    Outcome.UNREACHABLE: 5,
    Outcome.REFUSED: 6,
    Outcome.LOCKED: 7,
    Outcome.PARTIAL: 8,
}

BUG = 70
"""A defect of dbops itself (sysexits.h calls it EX_SOFTWARE)."""


def of_signal(number: int) -> int:
    """Return what a shell reports for a program that ends by this signal."""
    return 128 + number
