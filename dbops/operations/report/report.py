"""How is the database, on one page?"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from dbops.endpoint import Role
from dbops.engine.connect import Connector, Connectors
from dbops.engine.read_only import ReadOnly
from dbops.errors import DbopsError
from dbops.operations.doctor import doctor
from dbops.operations.doctor.choices import Choices
from dbops.operations.lag import Lag, lag, thresholds
from dbops.operations.ping import Ping, ping
from dbops.operations.pool import pool
from dbops.operations.report.answer import LagSample, Relation, Report
from dbops.operations.report.biggest import biggest
from dbops.operations.report.samples import sampled
from dbops.results import Problem, Status, worst

T = TypeVar("T")


async def report(
    connectors: Connectors,
    *,
    choices: Choices | None = None,
    count: int = 60,
    on_sample: Callable[[int], None] | None = None,
) -> Report:
    """Ask everything that a page shows, and sample the lag meanwhile.

    Args:
        connectors: How to reach writer and reader.
        choices: For the doctor.
        count: How many samples of the lag, one at each `interval` of the settings.
        on_sample: Told how many have been taken.

    Returns:
        The answers. A question without an answer is one of its problems.

    Raises:
        ConfigError: If nothing says where the writer is.
    """
    taken_at, asked = datetime.now(UTC), _Asked()
    writer = connectors.connector("writer")
    samples = asyncio.create_task(_samples(connectors, count, on_sample))
    try:
        pinged = await asked("ping", _ping(connectors))
        behind = await asked("lag", _lag(connectors))
        pools = await asked("pool", pool(writer, connectors.settings))
        diagnosis = await asked("doctor", doctor(connectors, choices))
        relations = await asked("relations", _biggest(writer))
        drawn = await asked("samples", samples)
    finally:
        samples.cancel()
    answers = [it.status for it in (pinged, behind, pools, diagnosis) if it is not None]
    missing = [Status.UNKNOWN] * len(asked.problems)
    return Report(
        status=worst([*answers, *missing]),
        taken_at=taken_at,
        ping=pinged,
        lag=behind,
        pool=pools,
        doctor=diagnosis,
        samples=drawn or (),
        relations=relations or (),
        problems=asked.problems,
    )


class _Asked:
    """Awaits one question after the other, and remembers which had no answer."""

    def __init__(self) -> None:
        self.problems: dict[str, Problem] = {}

    async def __call__(self, name: str, asking: Awaitable[T]) -> T | None:
        try:
            return await asking
        except DbopsError as error:
            self.problems[name] = Problem.of(error)
            return None


async def _ping(connectors: Connectors) -> Ping:
    has_reader = connectors.settings.has_reader
    roles: list[Role] = ["writer", "reader"] if has_reader else ["writer"]
    return await ping({role: connectors.connector(role) for role in roles})


async def _lag(connectors: Connectors) -> Lag | None:
    settings = connectors.settings
    if not settings.has_reader:
        return None
    limits = thresholds(settings.warn, settings.fail)
    writer, reader = connectors.connector("writer"), connectors.connector("reader")
    return await lag(writer, reader, limits=limits)


async def _samples(
    connectors: Connectors, count: int, on_sample: Callable[[int], None] | None
) -> tuple[LagSample, ...]:
    if not connectors.settings.has_reader:
        return ()
    return await sampled(connectors, count=count, on_sample=on_sample)


async def _biggest(writer: Connector) -> tuple[Relation, ...]:
    async with writer.dialled() as dialled:
        return await biggest(ReadOnly(dialled))
