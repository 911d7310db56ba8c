"""Writer and readers, sampled again and again."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from dbops.engine.connect import Connectors
from dbops.limits import Limit, Unit
from dbops.operations.doctor.answer import Role
from dbops.operations.doctor.choices import Choices
from dbops.operations.watch.activity import sampled
from dbops.operations.watch.answer import Sample, SampledLag
from dbops.operations.watch.freshness import compared, judged
from dbops.operations.watch.rounds import Rounds
from dbops.operations.watch.server import Asked, Seen
from dbops.operations.watch.thresholds import DEFAULTS
from dbops.operations.watch.tokens import Tokens
from dbops.results import worst

_LEAST_S = 0.05
# A sample waits so long for an answer; the next ones do not wait for it again.
_PATIENCE_S = 2.0


async def watch(
    connectors: Connectors,
    *,
    limits: Mapping[Unit, Limit] = DEFAULTS,
    choices: Choices | None = None,
    visits: bool = True,
) -> AsyncGenerator[Sample]:
    """Sample writer and reader, over one connection to each, until it is closed.

    A server that goes away is part of the samples, and is connected to again. The
    doctor visits in the background, over the same connections.

    Args:
        connectors: How to reach them; their settings say how often to sample.
        limits: From which lag and how many connections on it is bad.
        choices: What to leave to the doctor, and what to accept; everything and
            nothing by default.
        visits: Whether the doctor visits at all.

    Yields:
        A sample each interval.

    Raises:
        DbopsError: If no server has ever answered, and waiting cannot help.
    """
    settings = connectors.settings
    roles: list[Role] = ["reader"] if settings.has_reader else []
    if settings.has_writer or not roles:
        roles.insert(0, "writer")
    servers = [Asked(role, connectors.connector(role)) for role in roles]
    rounds = Rounds(settings, servers, choices or Choices())
    watcher = _Watch(servers, limits, max(settings.interval, _LEAST_S))
    loop = asyncio.get_running_loop()
    doctor = asyncio.create_task(rounds.run()) if visits else None
    try:
        due = loop.time()
        while True:
            if doctor is not None and doctor.done():
                doctor.result()
            yield await watcher.sample(rounds)
            due = max(due + watcher.interval_s, loop.time())
            await asyncio.sleep(due - loop.time())
    finally:
        if doctor is not None:
            doctor.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(doctor, return_exceptions=True)
        await asyncio.gather(*(it.aclose() for it in servers))


class _Watch:
    """What is kept from one sample to the next."""

    def __init__(
        self, servers: list[Asked], limits: Mapping[Unit, Limit], interval_s: float
    ) -> None:
        self.interval_s = interval_s
        self._servers = servers
        self._limits = limits
        self._tokens = Tokens()

    async def sample(self, rounds: Rounds) -> Sample:
        """Ask everybody; who takes too long is late, and holds no other up."""
        now = datetime.now(UTC)
        tasks = [task for task in (it.begin() for it in self._servers) if task]
        if tasks:
            await asyncio.wait(tasks, timeout=_PATIENCE_S)
        for server in self._servers:
            server.end()
        self._raise_hopeless()
        lag = await self._lag()
        seen = tuple(sampled(it, self._limits["%"]) for it in self._servers)
        found = [it.status for it in seen] + ([lag.status] if lag else [])
        return Sample(
            status=worst(found),
            sampled_at=now,
            servers=seen,
            lag=lag,
            doctor=rounds.last,
        )

    def _raise_hopeless(self) -> None:
        errors = [it.link.error for it in self._servers if it.link.error is not None]
        if len(errors) < len(self._servers) or any(it.was_up for it in self._servers):
            return
        for error in errors:
            if not error.retryable:
                raise error

    async def _lag(self) -> SampledLag | None:
        """Compare the last two answers; None where there is no reader."""
        by_role = {it.role: it for it in self._servers}
        standby = by_role.get("reader")
        if standby is None:
            return None
        writer = by_role["writer"].seen if "writer" in by_role else None
        reader = standby.seen
        if writer is not None:
            self._take(writer)
        decided = compared(writer, reader)
        if decided is not None or reader is None:
            return decided
        newest = self._tokens.newest
        position, when = reader.place["position"], reader.when
        if newest is not None and writer is not None and position < newest:
            position, when = await standby.replayed(newest) or (position, when)
        bounds = self._tokens.bounds(position, when)
        missing = None
        if newest is not None and writer is not None:
            missing = max(newest - position, 0)
        lag = judged(bounds, reader.place, missing, self._limits["s"])
        if writer is not None:
            return lag
        said = f"{lag.summary}; the writer's present position is unknown"
        return lag.model_copy(update={"summary": said})

    def _take(self, writer: Seen) -> None:
        """Keep the writer's position; a standby and Aurora have none."""
        place = writer.place
        if place.get("position") is None:
            self._tokens.forget()
            return
        timeline = place["system_identifier"], place["timeline"]
        self._tokens.add(timeline, place["position"], writer.when)
