"""One connection after another to one endpoint, within a limit."""

import asyncio
from dataclasses import dataclass, field, replace
from time import monotonic

from dbops.endpoint import Address, Endpoint, Role
from dbops.engine.connect import Connector
from dbops.errors import DbopsError, UnreachableError
from dbops.operations.ping.sample import Sample, sample

# The rest is for hanging up, and for telling what was seen.
_SHARE_OF_LIMIT = 0.85
_LEAST_S = 0.1


@dataclass(slots=True)
class Series:
    """What the connections to one endpoint have shown."""

    role: Role
    wanted: int
    """How many connections were asked for."""
    samples: list[Sample] = field(default_factory=list)
    """Those that answered, in their order."""
    failures: list[DbopsError] = field(default_factory=list)
    """Why the others did not."""
    tried: Address | None = None
    """The first host; None where not even that is known."""

    @property
    def count(self) -> int:
        """How many connections were tried."""
        return len(self.samples) + len(self.failures)


async def series(
    connector: Connector, *, count: int, interval_s: float, limit_s: float | None
) -> Series:
    """Connect `count` times; never raises for an endpoint that gives no answer.

    Whoever says no for good (a wrong password, no such database) is not asked again,
    and no connection is begun for which there is hardly time.
    """
    made = Series(connector.role, count)
    deadline = None if limit_s is None else monotonic() + limit_s * _SHARE_OF_LIMIT
    for number in range(count):
        if number:
            pause_s = interval_s if deadline is None else _pause_s(made, interval_s)
            if deadline is not None and monotonic() + pause_s >= deadline:
                break
            await asyncio.sleep(interval_s)
        try:
            made.samples.append(await _within(connector, made, deadline))
        except DbopsError as error:
            made.failures.append(error)
            if not error.retryable:
                break
    return made


def _pause_s(made: Series, interval_s: float) -> float:
    """Return the interval, and the time that the next connection should have."""
    slowest_ms = max((it.latency.total for it in made.samples), default=0.0)
    return interval_s + max(3 * slowest_ms / 1000, _LEAST_S)


async def _within(connector: Connector, made: Series, deadline: float | None) -> Sample:
    """Take a sample; of several silent hosts, each gets its share of the time.

    Raises:
        DbopsError: As `sample`, and when the time is over.
    """
    limit_s = None if deadline is None else max(deadline - monotonic(), _LEAST_S)
    try:
        async with asyncio.timeout(limit_s):
            endpoint = await connector.endpoint()
            made.tried = endpoint.addresses[0]
            if limit_s is not None:
                _bound(connector, endpoint, limit_s)
            return await sample(connector)
    except TimeoutError:
        where = made.tried or f"the {made.role}"
        raise UnreachableError(
            f"{where} gave no answer within {limit_s or 0:.3g} s",
            hint="check that it is not overloaded, or give it longer with --timeout",
            phase="timeout",
        ) from None


def _bound(connector: Connector, endpoint: Endpoint, limit_s: float) -> None:
    # A little less than all: who was silent, and in which phase, is worth hearing.
    share_s = 0.95 * limit_s / len(endpoint.addresses)
    connector.options = replace(connector.options, max_timeout_s=share_s)
