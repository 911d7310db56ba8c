"""Is the reader attached to the writer, and does every standby stream?

A standby that has lost its connection is simply not listed any more.
"""

import asyncio
from typing import Any

from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import (
    ClusterCheck,
    Found,
    Limits,
    NotApplicableError,
    UndecidedError,
)
from dbops.operations.doctor.servers import Cluster, Server
from dbops.operations.lag.flow import flows
from dbops.operations.lag.kinds import Cause, Pipeline
from dbops.operations.lag.wording import REMEDIES
from dbops.operations.replica.questions import ON_READER
from dbops.operations.replica.standbys import STANDBYS, Standby, matching

_STATES = {
    "startup": "is starting to receive",
    "catchup": "is catching up: it was away, or is too slow",
    "backup": "is a base backup that is being taken",
    "stopping": "is being let go",
}


async def find(cluster: Cluster, limits: Limits) -> Found:  # noqa: ARG001 # it has none
    """Compare what the writer sends to with the reader that is configured."""
    writer = _writer(cluster)
    listed = await _listed(writer)
    if any(it.state != "streaming" for it in listed):
        # After a new connection that lasts for a moment.
        await asyncio.sleep(writer.interval_s)
        listed = await _listed(writer)
    reader = await _of_reader(cluster, listed)
    if not listed and reader is None:
        raise NotApplicableError("no reader is configured, and none is attached")
    states = [_of_state(it) for it in listed if it.state != "streaming"]
    found = reader or Found("")
    streaming = sum(it.state == "streaming" for it in listed)
    return Found(
        f"standbys that stream from the writer: {streaming} of {len(listed)}",
        (*found.findings, *states),
        found.notes,
        found.requires,
    )


def _writer(cluster: Cluster) -> Server:
    writer = cluster.writer
    if writer is None and "writer" not in cluster.failures:
        raise NotApplicableError("no writer is configured")
    if writer is None:
        raise UndecidedError("the writer gives no answer")
    if writer.is_standby:
        raise NotApplicableError("the writer is a standby itself")
    if not writer.may("pg_read_all_stats"):
        raise UndecidedError(
            f"{writer.user} may not see who receives",
            requires=writer.grant("pg_read_all_stats"),
        )
    return writer


async def _listed(writer: Server) -> list[Standby]:
    return [Standby(**row) for row in await writer.rows(STANDBYS)]


async def _of_reader(cluster: Cluster, listed: list[Standby]) -> Found | None:
    """Look for the reader among those that receive; None where none is configured."""
    reader = cluster.reader
    if reader is None:
        if "reader" not in cluster.failures:
            return None
        why = "the reader gives no answer, so nobody knows which standby it is"
        return _missing(Severity.UNKNOWN, why)
    if not reader.is_standby:
        return Found("", notes=("the reader is no standby",))
    state = await reader.row(ON_READER, None)
    if matching(listed, state):
        return Found("")
    return _of_unlisted(reader, state)


def _of_unlisted(reader: Server, state: dict[str, Any]) -> Found:
    if state["receiver_pid"] is not None and state["receiver_status"] is None:
        grant = reader.grant("pg_read_all_stats")
        why = f"{reader.user} may not see from where the reader receives"
        return _missing(Severity.UNKNOWN, why, grant, requires=grant)
    if state["receiver_pid"] is not None:
        # Of another standby, or of another cluster: which one, others ask.
        upstream = f"{state['sender_host']}:{state['sender_port']}"
        return Found("", notes=(f"the reader receives from {upstream}",))
    if flows(state)[0].pipeline is Pipeline.ARCHIVE:
        return Found("", notes=("the reader receives from an archive alone",))
    why = "the configured reader is not attached to the writer, and receives nothing"
    return _missing(Severity.FAIL, why, REMEDIES[Cause.RECEIVER_DOWN])


def _missing(
    severity: Severity,
    why: str,
    remedy: str | None = None,
    *,
    requires: str | None = None,
) -> Found:
    finding = Finding(object="reader", message=why, remedy=remedy, severity=severity)
    return Found("", (finding,), requires=requires)


def _of_state(standby: Standby) -> Finding:
    said = _STATES.get(standby.state, f"is in the state {standby.state}")
    return Finding(
        object=str(standby),
        message=f"it {said}",
        remedy=f"SELECT * FROM pg_stat_replication WHERE pid = {standby.pid}",  # noqa: S608 # a number
        role="writer",
    )


CHECK = ClusterCheck(
    id="D14",
    title="attached replicas",
    question="Is every expected replica attached, and does it stream?",
    find=find,
    on_aurora=False,
)
