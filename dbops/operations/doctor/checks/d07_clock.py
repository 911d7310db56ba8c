"""Do the server's clock and ours agree?

Ages, expiries and tokens are judged by one of them and were stamped by the other.
"""

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import (
    Found,
    Limits,
    ServerCheck,
    UndecidedError,
    severity,
)
from dbops.operations.doctor.servers import Server
from dbops.results import Status
from dbops.units import duration_text

# https://www.postgresql.org/docs/current/functions-datetime.html#FUNCTIONS-DATETIME-CURRENT
CLOCK = "SELECT extract(epoch FROM pg_catalog.clock_timestamp())"
_TRIES = 3


async def find(server: Server, limits: Limits) -> Found:
    """Compare the clocks in the middle of the fastest of a few round trips.

    When in the round trip the server has looked is unknown, so half of it is what the
    answer may be wrong by.
    """
    measured = [await _skew(server) for _ in range(_TRIES)]
    half_s, skew_s = min(measured)
    limit = limits["value"]
    apart = duration_text(round(abs(skew_s), 3))
    give = duration_text(round(half_s, 4))
    least = limit.graded(max(abs(skew_s) - half_s, 0))
    if least is not limit.graded(abs(skew_s) + half_s) and half_s > (limit.warn or 0):
        raise UndecidedError(
            f"the clocks are {apart} apart, give or take {give}: a round trip to the "
            f"{server.role} takes too long to tell"
        )
    status = limit.graded(abs(skew_s))
    if status is Status.OK:
        return Found(f"the clocks are {apart} apart, give or take {give}")
    whose = "ahead of" if skew_s > 0 else "behind"
    finding = Finding(
        object=server.role,
        message=f"the clock of the {server.role} is {apart} {whose} ours, give or take "
        f"{give}",
        remedy="look at the time service (chronyc tracking) of both machines",
        severity=severity(status),
    )
    return Found(f"the clocks are {apart} apart", (finding,))


async def _skew(server: Server) -> tuple[float, float]:
    """Return half of the round trip, and the server's clock minus ours."""
    asked = await server.questions.at_once(CLOCK)
    half_s = asked.took_s / 2
    return half_s, float(asked.columns[0] or 0) - (asked.asked_at + half_s)


CHECK = ServerCheck(
    id="D07",
    title="clocks",
    question="Do the server's clock and ours agree?",
    on="each",
    find=find,
    limits={"value": Limit(1.0, 10.0, "s")},
)
