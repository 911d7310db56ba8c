"""Has the reader what the writer has, and how old is what it lacks?

The doctor waits 5 seconds at most (a quarter of its own time, where that is less): a
reader that is later than that is late for certain, and how much later is told as far as
the servers know it.
"""

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import (
    ClusterCheck,
    Found,
    Limits,
    NotApplicableError,
    UndecidedError,
    severity,
)
from dbops.operations.doctor.servers import Cluster
from dbops.operations.lag import Cause, Lag, Terms, between
from dbops.results import Status

LONGEST_WAIT_S = 5.0
_SHARE_OF_BUDGET = 0.25


async def find(cluster: Cluster, limits: Limits) -> Found:
    """Wait on the reader for what the writer has flushed now."""
    writer, reader = cluster.writer, cluster.reader
    if reader is None and "reader" not in cluster.failures:
        raise NotApplicableError("no reader is configured")
    if writer is None and "writer" not in cluster.failures:
        raise NotApplicableError("no writer is configured to compare the reader with")
    if writer is None or reader is None:
        silent = "writer" if writer is None else "reader"
        raise UndecidedError(f"the {silent} gives no answer")
    timeout_s = cluster.settings.timeout
    budget_s = LONGEST_WAIT_S if timeout_s is None else timeout_s * _SHARE_OF_BUDGET
    terms = Terms(
        {"s": limits["value"], "B": limits["bytes"]},
        require_replica=cluster.settings.require_replica,
        limit_s=min(LONGEST_WAIT_S, budget_s),
    )
    return _found(await between(writer.questions, reader.questions, terms))


def _found(lag: Lag) -> Found:
    if lag.cause is Cause.READER_IS_WRITER:
        raise NotApplicableError("the reader is the writer itself")
    if lag.freshness_status is Status.OK:
        return Found(lag.summary)
    if lag.lag_low_s is None:
        raise UndecidedError(lag.summary, requires=lag.requires)
    finding = Finding(
        object=lag.reader.address,
        message=lag.summary,
        remedy=lag.remedy,
        severity=severity(lag.freshness_status),
        role="reader",
    )
    assert finding.severity is not Severity.INFO  # it was not ok  # noqa: S101
    return Found(lag.summary, (finding,))


CHECK = ClusterCheck(
    id="D12",
    title="replica freshness",
    question="Has the reader what the writer has?",
    find=find,
    limits={"value": Limit(5, 30, "s"), "bytes": Limit(None, None, "B")},
)
