"""Between which bounds does the reader's age lie, without waiting for it?

Each sample leaves a token: how far the writer had flushed its WAL, and when that was
asked. All times are taken on our own clock, so no server's clock enters. What was on
the writer before the newest token that the reader has replayed is on the reader; of
what was there at the oldest one that it has not replayed, something is missing.
"""

from collections import deque
from typing import NamedTuple

_MOST = 4000


class Moment(NamedTuple):
    """When a question was under way, on our monotonic clock, in seconds."""

    asked: float
    answered: float


class Bounds(NamedTuple):
    """The reader's age in seconds; None is unknown, or no bound."""

    low_s: float | None
    high_s: float | None


class Tokens:
    """The writer's positions, the oldest first."""

    def __init__(self) -> None:
        self._timeline: tuple[str, int] | None = None
        self._kept: deque[tuple[int, Moment]] = deque()

    @property
    def newest(self) -> int | None:
        """The writer's last position; None where there is none."""
        return self._kept[-1][0] if self._kept else None

    def add(self, timeline: tuple[str, int], position: int, when: Moment) -> None:
        """Take a position.

        Args:
            timeline: Cluster and timeline; earlier positions of another one are
                forgotten.
            position: What the writer has flushed, in bytes.
            when: When it was asked for it.
        """
        if timeline != self._timeline:
            self._kept.clear()
            self._timeline = timeline
        if len(self._kept) > 1 and self._kept[-1][0] == self._kept[-2][0] == position:
            # The first token of a position bounds from below, the last from above.
            self._kept.pop()
        self._kept.append((position, when))
        if len(self._kept) > _MOST:
            # Far behind: the oldest ones bound it, so every other one has to go.
            self._kept = deque(list(self._kept)[::2])

    def forget(self) -> None:
        """Drop everything: what is known belongs to no server any more."""
        self._kept.clear()

    def bounds(self, replayed: int, when: Moment) -> Bounds:
        """Compare with what the reader has replayed.

        Args:
            replayed: The reader's position.
            when: When it was asked for it.
        """
        high_s = low_s = None
        while len(self._kept) > 1 and self._kept[1][0] <= replayed:
            self._kept.popleft()
        for position, taken in self._kept:
            if position > replayed:
                low_s = max(when.asked - taken.answered, 0.0)
                break
            # Never less than what asking took: that is how finely it is known.
            high_s = when.answered - min(taken.asked, when.asked)
            low_s = 0.0
        return Bounds(low_s, high_s)
