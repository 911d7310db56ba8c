"""What does one server say about itself now?"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple

from dbops.engine.connect import Connector
from dbops.engine.read_only import ReadOnly
from dbops.errors import DbopsError, UnreachableError
from dbops.operations.doctor.answer import Role
from dbops.operations.watch.link import Link
from dbops.operations.watch.questions import (
    ACTIVITY,
    FLUSHED,
    ON_AURORA,
    REPLAY,
    REPLAYED,
)
from dbops.operations.watch.tokens import Moment

# Longer than the doctor's questions may take that are asked over the same connection.
_SILENT_S = 11.0
_POLLS_S = (0.005, 0.02, 0.05)


class Seen(NamedTuple):
    """One answer."""

    latency_ms: float
    """One round trip."""
    activity: dict[str, Any]
    """The row of ACTIVITY."""
    place: dict[str, Any]
    """The row of FLUSHED or of REPLAY; of ON_AURORA, or nothing, there."""
    when: Moment
    """When `place` was asked for."""
    is_aurora: bool
    """Whether it is Aurora, which knows no positions."""


class Asked:
    """One server that is asked again and again.

    Args:
        role: As what it is configured.
        connector: How to connect to it.
    """

    def __init__(self, role: Role, connector: Connector) -> None:
        self.role: Role = role
        self.link = Link(role, connector)
        self.seen: Seen | None = None
        """The answer to the last question; None where that has none, or not yet."""
        self.was_up = False
        """Whether it has ever answered."""
        self.begun: datetime | None = None
        """When the question that is under way was asked; None where none is."""
        self._task: asyncio.Task[Seen] | None = None

    def begin(self) -> asyncio.Task[Seen] | None:
        """Ask, unless it is still being asked, or was lost a moment ago."""
        self.seen = None
        if self._task is not None or self.link.is_waiting:
            return None
        self.begun = datetime.now(UTC)
        self._task = asyncio.create_task(self._ask())
        return self._task

    def end(self) -> None:
        """Take the answer, where there is one by now."""
        if self._task is None or not self._task.done():
            return
        task, self._task, self.begun = self._task, None, None
        with suppress(DbopsError):  # which the link keeps
            self.seen = task.result()
            self.was_up = True

    async def replayed(self, position: int) -> tuple[int, Moment] | None:
        """Look again for a moment whether a position is replayed.

        Returns:
            The last position, and when it was asked for; None where there is no answer.
        """
        line, found = self.link.line, None
        for pause_s in _POLLS_S:
            await asyncio.sleep(pause_s)
            asked = monotonic()
            try:
                here = None if line is None else await line.value(REPLAYED)
            except DbopsError:
                break  # the next question finds out why
            if here is None:
                break
            found = here, Moment(asked, monotonic())
            if here >= position:
                break
        return found

    async def aclose(self) -> None:
        """Stop asking, and close the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.link.aclose()

    async def _ask(self) -> Seen:
        begun = self.begun or datetime.now(UTC)
        try:
            seen = await self._bounded(await self.link.opened())
        except DbopsError as error:
            await self.link.lost(error, since=begun)
            raise
        self.link.answered()
        return seen

    async def _bounded(self, line: ReadOnly) -> Seen:
        try:
            async with asyncio.timeout(_SILENT_S):
                return await self._told(line)
        except TimeoutError:
            raise UnreachableError(
                f"the {self.role} has not answered for {_SILENT_S:g} s",
                hint="the server, or the network in between, is frozen",
                phase="query",
            ) from None

    async def _told(self, line: ReadOnly) -> Seen:
        is_aurora = self.link.about["is_aurora"]
        round_trip = await line.at_once("SELECT 1")
        activity = await line.row(ACTIVITY)
        query = FLUSHED if self.role == "writer" else REPLAY
        if is_aurora:
            query = ON_AURORA
        asked = monotonic()
        rows = await line.rows(query)
        when = Moment(asked, monotonic())
        place = rows[0] if rows else {}
        return Seen(round_trip.took_s * 1000, activity, place, when, is_aurora)
