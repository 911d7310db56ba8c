"""When has enough been seen?"""

from time import monotonic


class Enough:
    """Counts samples.

    Args:
        count: So many are enough; None for no end.
        limit_s: So much time is enough; None for no end.
        interval_s: When the next one will come.
    """

    def __init__(
        self, count: int | None, limit_s: float | None, interval_s: float
    ) -> None:
        self._left = count
        self._interval_s = interval_s
        self._ends_at = None if limit_s is None else monotonic() + limit_s

    def is_after(self) -> bool:
        """Count one, and tell whether it was the last."""
        if self._left is not None:
            self._left -= 1
        is_late = (
            self._ends_at is not None
            and monotonic() + self._interval_s >= self._ends_at
        )
        return is_late or self._left == 0
