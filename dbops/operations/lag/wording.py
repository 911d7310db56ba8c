"""What does a person read about a lag?"""

from collections.abc import Mapping

from dbops.operations.lag.answer import Node
from dbops.operations.lag.kinds import Cause, Freshness, Pipeline
from dbops.units import duration_text

REMEDIES: Mapping[Cause, str] = {
    Cause.REPLAY_PAUSED: "SELECT pg_catalog.pg_wal_replay_resume() -- on the reader",
    Cause.APPLY_DELAY: "ALTER SYSTEM RESET recovery_min_apply_delay; "
    "SELECT pg_catalog.pg_reload_conf() -- on the reader",
    Cause.RECOVERY_CONFLICT: "end the reader's long query, or see "
    "max_standby_streaming_delay and hot_standby_feedback",
    Cause.RECEIVER_DOWN: "look into the reader's log, at its primary_conninfo, and at "
    "the writer's pg_hba.conf and replication slots",
    Cause.SLOW_TRANSPORT: "look at the network between the two, and at the walsender "
    "in pg_stat_replication of the server that it receives from",
    Cause.SLOW_APPLY: "look at the reader's disk and CPU: one process replays it all",
    Cause.WRITER_IS_STANDBY: "point DATABASE_URL at the primary",
}
_CAUSES: Mapping[Cause, str] = {
    Cause.REPLAY_PAUSED: "its replay is paused",
    Cause.APPLY_DELAY: "recovery_min_apply_delay holds it back",
    Cause.RECOVERY_CONFLICT: "a query on it holds the replay back",
    Cause.RECEIVER_DOWN: "nothing is being received",
    Cause.SLOW_APPLY: "it has received it and replays slowly",
    Cause.SLOW_TRANSPORT: "it has not received it",
}
FLOWS: Mapping[Pipeline, str] = {
    Pipeline.STREAMING: "changes are streaming",
    Pipeline.ARCHIVE: "changes come from the archive",
    Pipeline.DELAYED: "recovery_min_apply_delay holds back what comes next",
    Pipeline.PAUSED: "its replay is paused",
    Pipeline.NO_RECEIVER: "nothing is being received",
    Pipeline.NOT_STREAMING: "its receiver is not streaming",
    Pipeline.SILENT: "its receiver has heard nothing for too long",
    Pipeline.UNKNOWN: "whether changes stream is hidden from this role",
}


def summary(
    freshness: Freshness,
    low_s: float | None,
    high_s: float | None,
    *,
    cause: Cause | None,
    pipeline: Pipeline,
    reader: Node,
    is_uncertain: bool = False,
) -> str:
    """Say in one sentence how far behind a reader is, and why."""
    who = f"the reader {place(reader)}"
    flows = FLOWS[pipeline]
    if freshness is Freshness.UNKNOWN or low_s is None:
        return f"{who} may be on another timeline than the writer: {flows}"
    if freshness is Freshness.FRESH:
        return f"{who} has everything that the writer had {span(high_s)} ago; {flows}"
    why = _CAUSES.get(cause, "") if cause else ""
    if cause is Cause.SLOW_TRANSPORT and reader.upstream:
        why = f"{reader.upstream}, from where it receives, has not sent it"
    if high_s is None:
        far = f"at least {span(low_s)}"
    elif span(low_s) == span(high_s):
        far = span(low_s)
    else:
        far = f"between {span(low_s)} and {span(high_s)}"
    doubt = "uncertain: " if is_uncertain else ""
    return f"{doubt}{who} is {far} behind: {why}"


def place(node: Node) -> str:
    """Name a server, and its instance where that is another name."""
    here = node.address
    if node.instance is None or node.instance == here:
        return here
    return f"{here} ({node.instance})"


def span(value_s: float | None) -> str:
    """Write a duration for a person: to the millisecond below a second."""
    if value_s is None:
        return "an unknown time"
    return duration_text(round(value_s, 3 if value_s < 1 else 1))
