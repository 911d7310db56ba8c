"""Do changes flow to the reader, however fresh it is now?

On an idle writer a reader without a receiver, or with a paused replay, is as fresh as
can be, and about to be wrong.
"""

import asyncio
from typing import Any

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import (
    Found,
    Limits,
    NotApplicableError,
    ServerCheck,
    severity,
)
from dbops.operations.doctor.servers import Server
from dbops.operations.lag.flow import Flow, flows
from dbops.operations.lag.kinds import Pipeline
from dbops.operations.lag.wording import FLOWS, REMEDIES
from dbops.operations.replica.questions import ON_READER
from dbops.results import Status
from dbops.units import duration_text


async def find(server: Server, limits: Limits) -> Found:
    """Judge the receiver, the replay, and the delay between the two."""
    state = await server.row(ON_READER, None)
    if not state["is_in_recovery"]:
        raise NotApplicableError("the reader is no standby")
    found = flows(state)
    if any(it.status is not Status.OK for it in found):
        # A receiver that has lost its connection has another one in a moment.
        await asyncio.sleep(server.interval_s)
        state = await server.row(ON_READER, None)
        found = flows(state)
    findings = [it for flow in found if (it := _finding(flow, state, limits))]
    return Found(
        "; ".join(dict.fromkeys(FLOWS[it.pipeline] for it in found)),
        tuple(findings),
        requires=found[0].requires,
    )


def _finding(flow: Flow, state: dict[str, Any], limits: Limits) -> Finding | None:
    if flow.pipeline is Pipeline.DELAYED:
        return _of_delay(state["apply_delay_s"], limits["value"])
    if flow.status is Status.OK:
        return None
    is_hidden = flow.pipeline is Pipeline.UNKNOWN
    return Finding(
        object=_OBJECTS.get(flow.pipeline, "WAL receiver"),
        message=FLOWS[flow.pipeline],
        remedy=REMEDIES[flow.cause] if flow.cause else flow.requires,
        severity=Severity.UNKNOWN if is_hidden else severity(flow.status),
    )


def _of_delay(delay_s: float, limit: Limit) -> Finding:
    status = limit.graded(delay_s)
    return Finding(
        object="recovery_min_apply_delay",
        message=f"the reader applies every commit {duration_text(delay_s)} late",
        remedy="ALTER SYSTEM RESET recovery_min_apply_delay; SELECT pg_reload_conf()",
        severity=severity(status) if status is not Status.OK else Severity.INFO,
    )


_OBJECTS = {Pipeline.PAUSED: "replay"}

CHECK = ServerCheck(
    id="D13",
    title="replication pipeline",
    question="Do changes flow to the reader?",
    on="reader",
    find=find,
    limits={"value": Limit(5, 30, "s")},
    on_aurora=False,
)
