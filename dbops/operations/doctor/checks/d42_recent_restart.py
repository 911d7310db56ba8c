"""Has the server just started?

It explains other findings: caches are cold, counters are young, clients reconnect.
"""

from dbops.limits import Limit
from dbops.operations.doctor.check import Found, Limits, ServerCheck
from dbops.operations.doctor.servers import Server
from dbops.results import Status

# https://www.postgresql.org/docs/current/functions-info.html
STARTED = """
    SELECT extract(epoch FROM pg_catalog.clock_timestamp()
                              - pg_catalog.pg_postmaster_start_time())::float8 AS age_s
"""
_UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


async def find(server: Server, limits: Limits) -> Found:
    """Note a start that is younger than the threshold."""
    age_s = (await server.row(STARTED))["age_s"]
    is_young = limits["value"].graded(age_s) is Status.OK
    note = (
        f"the {server.role} started {_text(age_s)} ago: its counters say little yet, "
        "and what it was restarted for may explain other findings"
    )
    summary = f"it has been running for {_text(age_s)}"
    return Found(summary, notes=(note,) if is_young else ())


def _text(age_s: float) -> str:
    for unit_s, name in _UNITS:
        if age_s >= 2 * unit_s:
            return f"{age_s / unit_s:.0f} {name}"
    return "a second"


CHECK = ServerCheck(
    id="D42",
    title="recent restart",
    question="Has the server just started?",
    on="each",
    find=find,
    limits={"value": Limit(600, None, "s")},
)
