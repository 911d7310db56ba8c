"""When does the reader have what the writer had?"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from dbops.engine.read_only import ReadOnly
from dbops.errors import DbopsError
from dbops.operations.lag.missing import Missing, missing
from dbops.operations.lag.position import polled_until
from dbops.operations.replica.judgement import (
    Token,
    judged,
    related,
    timeline_of,
)
from dbops.operations.replica.questions import ON_READER

# Whoever is not there soon is asked why before the time is over: it may be that no
# commit is missing, or that one is older than any threshold.
_FIRST_DOUBT_S = 0.25
_LATER = 4.0


@dataclass(frozen=True, slots=True)
class Look:
    """The reader at one moment."""

    state: dict[str, Any]
    """The row of ON_READER."""
    since_asked_s: float
    """From before the token was asked for to after this answer."""
    since_told_s: float
    """From after the token was told to before this question."""
    took_s: float
    """From this question to its answer."""
    at: datetime
    """When the answer came."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen on the reader while the writer's token was waited for."""

    first: Look
    last: Look
    missing: Missing | None = None
    """What the reader lacked at the last look; None where nobody could be asked, or
    nobody had to be."""
    asking_s: float = 0.0
    """From before the last look to after the answer about what it lacks."""
    is_cut_off: bool = False
    """Whether time was over before anything about that could be asked."""

    @property
    def waited_s(self) -> float:
        """How long the token was waited for."""
        return self.last.since_told_s


class Watch:
    """Waits on a reader for what the writer had.

    Args:
        writer: The writer; asked about what is missing.
        reader: The reader.
        token: What the writer had.
        asked: When that was asked for, on the clock of `monotonic`.
    """

    def __init__(
        self, writer: ReadOnly, reader: ReadOnly, token: Token, *, asked: float
    ) -> None:
        self._writer, self._reader = writer, reader
        self._token, self._asked, self._told = token, asked, monotonic()
        self._first: Look | None = None
        self._last: Look | None = None

    @property
    def so_far(self) -> Observed | None:
        """What was seen before the time was over; None for nothing."""
        if self._first is None or self._last is None:
            return None
        return Observed(self._first, self._last, is_cut_off=True)

    async def until(self, *, limit_s: float, bad_s: float, good_s: float) -> Observed:
        """Wait until the token is replayed, it is certain that it matters not, or not.

        Args:
            limit_s: How long to wait, in seconds.
            bad_s: Being that much behind is bad enough to wait no longer.
            good_s: Being less behind is good enough to ask no more.

        Returns:
            What was seen; at once where the reader does not follow this writer.

        Raises:
            DbopsError: As `ReadOnly.rows`, for the reader.
        """
        first = last = await self.look()
        doubt_s = min(_FIRST_DOUBT_S, limit_s)
        while not self.is_there(last):
            await self._poll(last, until_s=min(doubt_s, limit_s))
            last = await self.look()
            if self.is_there(last):
                break
            found, asking_s = await self._missing(last)
            is_over = last.since_told_s >= limit_s
            if is_over or (found and _is_certain(found, bad_s + asking_s)):
                return Observed(first, last, found, asking_s)
            doubt_s *= _LATER
        is_slow = last.since_told_s < good_s <= last.since_asked_s
        if is_slow or not self._token.is_all:
            # The writer's answer took long, and not the reader; or it was not whole.
            return Observed(first, last, *await self._missing(last))
        return Observed(first, last)

    async def look(self) -> Look:
        """Ask the reader for everything.

        Raises:
            DbopsError: As `until`.
        """
        began = monotonic()
        state = await self._reader.row(ON_READER, self._token.position)
        now = monotonic()
        self._last = Look(
            state,
            since_asked_s=now - self._asked,
            since_told_s=began - self._told,
            took_s=now - began,
            at=datetime.now(UTC),
        )
        self._first = self._first or self._last
        return self._last

    def is_there(self, look: Look) -> bool:
        """Tell whether the token was replayed, as far as it can be proved."""
        if related(self._token, look.state) != "follows":
            return True  # and no position means anything
        return judged(self._token, look.state) != "not_yet"

    async def _poll(self, look: Look, *, until_s: float) -> None:
        """Wait until the position is replayed, or for so long since it was told."""
        deadline = self._told + until_s
        if look.state["is_replayed"]:
            # But on another timeline, which only a whole look shows.
            await asyncio.sleep(max(deadline - monotonic(), 0.0))
        else:
            await polled_until(self._reader, self._token.position, deadline=deadline)

    async def _missing(self, look: Look) -> tuple[Missing | None, float]:
        """Return what the reader lacked, and the time from the look to the answer."""
        if timeline_of(look.state) != self._token.timeline:
            # The same number may be another transaction there.
            return None, look.took_s
        asked = monotonic()
        found: Missing | None = None
        with suppress(DbopsError):
            found = await missing(self._writer, self._token, look.state)
        return found, look.took_s + monotonic() - asked


def _is_certain(found: Missing, bad_s: float) -> bool:
    """Tell whether waiting any longer would change nothing."""
    return found.is_none or (found.age_low_s or 0.0) >= bad_s
