"""When has enough been seen, and what does the last of it come to?"""

from dbops.cli import exit_codes
from dbops.operations.watch import Sample


class Enough:
    """Counts samples.

    Args:
        count: So many are enough; None for no end.
    """

    def __init__(self, count: int | None) -> None:
        self.code = 0
        """The exit code of the last one."""
        self.is_any = False
        """Whether there has been one."""
        self._left = count

    def is_after(self, sample: Sample) -> bool:
        """Count one, and tell whether it was the last."""
        self.code, self.is_any = exit_codes.EXIT_CODES[sample.outcome], True
        if self._left is not None:
            self._left -= 1
        return self._left == 0
