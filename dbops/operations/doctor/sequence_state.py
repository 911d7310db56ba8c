"""Where is a sequence, and what does it end at?"""

from dataclasses import dataclass

_WIDEST = 8


@dataclass(frozen=True)
class SequenceState:
    """A sequence, the column that it fills, and the value at which it is."""

    name: str
    schema: str
    is_cycling: bool
    low: int
    high: int
    start: int
    step: int
    table: str | None
    """Of the narrowest integer column that it fills; None for none."""
    column: str | None
    width: int | None
    """The column's, in bytes."""
    is_identity: bool
    may_read: bool
    is_locked: bool
    value: int | None
    """The last one given, or the one to begin with; None where it cannot be read."""
    is_fresh: bool
    """Whether it is where it was made to begin, or was set since: nothing tells."""

    @property
    def is_held_by_column(self) -> bool:
        """Whether the column ends before the sequence does."""
        return self.end != (self.high if self.step > 0 else self.low)

    @property
    def end_of_column(self) -> int:
        """The last value that its column holds."""
        most = (1 << 8 * (self.width or _WIDEST) - 1) - 1
        return most if self.step > 0 else -most - 1

    @property
    def end(self) -> int:
        """The last value that it can give."""
        if self.step > 0:
            return min(self.high, self.end_of_column)
        return max(self.low, self.end_of_column)

    @property
    def share_used(self) -> float | None:
        """How much of its values is gone, from 0 to 100; None where that is unknown."""
        if self.value is None:
            return None
        # What lies below zero is not used up by a sequence that begins at one; one that
        # was set back there has only gained.
        begin, sign = max(self.low, min(self.start, 0)), 1
        if self.step < 0:
            begin = min(self.high, max(self.start, 0))
            sign = -1
        whole = abs(self.end - begin)
        return 100.0 * max(sign * (self.value - begin), 0) / whole if whole else 100.0
