"""How is what was observed judged?"""

from typing import Any, NamedTuple

from dbops.operations.lag.answer import Cause, Freshness, Lag, Node, Pipeline
from dbops.results import Status, grade, worst


class Verdict(NamedTuple):
    """What the identities alone decide."""

    status: Status
    cause: Cause
    summary: str


def compared(
    writer: dict[str, Any], reader: dict[str, Any], *, require_replica: bool
) -> Verdict | None:
    """Compare who the two are before comparing any position."""
    if writer["system_identifier"] != reader["system_identifier"]:
        return Verdict(
            Status.FAIL,
            Cause.WRONG_CLUSTER,
            "the reader belongs to another cluster than the writer",
        )
    if not reader["is_in_recovery"]:
        same = ("started", "port")
        if all(writer[name] == reader[name] for name in same):
            return Verdict(
                Status.FAIL if require_replica else Status.WARN,
                Cause.READER_IS_WRITER,
                "the reader is the writer itself: there is no replica to be behind",
            )
        return Verdict(
            Status.FAIL,
            Cause.SPLIT_BRAIN,
            "the reader was promoted: there are two primaries",
        )
    if reader["timeline"] not in (None, writer["timeline"]):
        return Verdict(
            Status.FAIL,
            Cause.TIMELINE_DIVERGED,
            "the reader follows another timeline than the writer",
        )
    return None


def decided(verdict: Verdict, *, writer: Node, reader: Node) -> Lag:
    """Answer where the identities alone decide: no number would mean anything."""
    freshness, pipeline = Freshness.UNKNOWN, Pipeline.BROKEN
    if verdict.cause in (Cause.READER_IS_WRITER, Cause.SPLIT_BRAIN):
        freshness = Freshness.NOT_APPLICABLE
    if verdict.cause is Cause.READER_IS_WRITER:
        pipeline = Pipeline.NOT_APPLICABLE
    return Lag(
        status=verdict.status,
        freshness=freshness,
        pipeline=pipeline,
        cause=verdict.cause,
        summary=verdict.summary,
        reader=reader,
        writer=writer,
    )


class Observed(NamedTuple):
    """What was seen on the reader while the writer's token was waited for."""

    state: dict[str, Any]
    """The row of ON_READER, after the wait."""
    behind: dict[str, Any]
    """The row of BEHIND, after the wait."""
    caught_up_s: float | None
    """Seconds until the token was replayed; None when it was not."""


def measured(
    observed: Observed, *, warn_s: float, fail_s: float, writer: Node, reader: Node
) -> Lag:
    """Grade freshness and pipeline; the status is the worse of both."""
    pipeline, pipeline_status, pipeline_cause, requires = _pipeline(observed.state)
    freshness, low_s, high_s = _freshness(observed, fail_s)
    is_fresh = freshness is Freshness.FRESH
    cause = pipeline_cause
    if cause is None and not is_fresh:
        cause = _why_behind(observed)
    graded = grade(high_s if is_fresh else low_s, warn=warn_s, fail=fail_s)
    return Lag(
        status=worst((graded, pipeline_status)),
        freshness=freshness,
        pipeline=pipeline,
        cause=cause,
        summary=_summary(freshness, pipeline, low_s),
        lag_low_s=round(low_s, 3),
        lag_high_s=None if high_s is None else round(high_s, 3),
        bytes_behind=max(observed.behind["unreplayed"], 0),
        waited_s=round(fail_s if high_s is None or not is_fresh else high_s, 3),
        requires=requires,
        reader=reader,
        writer=writer,
    )


def _freshness(
    observed: Observed, fail_s: float
) -> tuple[Freshness, float, float | None]:
    """Bound the lag: what it is, at least, and at most (None where nothing bounds it).

    A token that was not replayed within `fail_s` makes the reader at least that late,
    and at most as late as the writer's clock was from the last commit that the reader
    has replayed: both stamps are the writer's, so no clock skew enters.
    """
    if observed.caught_up_s is not None:
        return Freshness.FRESH, 0.0, observed.caught_up_s
    behind = observed.behind
    oldest_s: float | None = behind["oldest_s"]
    high_s = None if oldest_s is None else max(oldest_s, 0.0) + fail_s
    if behind["unreceived"] > 0:
        return Freshness.TRANSPORT_BEHIND, fail_s, high_s
    return Freshness.APPLY_BEHIND, fail_s, high_s


def _pipeline(
    state: dict[str, Any],
) -> tuple[Pipeline, Status, Cause | None, str | None]:
    """Judge the flow of changes: pipeline, status, cause, missing privilege."""
    if state["pause_state"] not in (None, "not paused"):
        return Pipeline.PAUSED, Status.WARN, Cause.REPLAY_PAUSED, None
    if state["receiver_pid"] is None:
        return Pipeline.NO_RECEIVER, Status.FAIL, Cause.RECEIVER_DOWN, None
    if state["receiver_status"] is None:
        grant = f"GRANT pg_read_all_stats TO {state['role']}"
        return Pipeline.UNKNOWN, Status.WARN, None, grant
    if state["receiver_status"] != "streaming":
        return Pipeline.NOT_STREAMING, Status.WARN, Cause.RECEIVER_DOWN, None
    limit_s = state["receiver_timeout_s"]
    if limit_s and state["silent_s"] is not None and state["silent_s"] > limit_s:
        return Pipeline.SILENT, Status.FAIL, Cause.SLOW_TRANSPORT, None
    return Pipeline.STREAMING, Status.OK, None, None


def _why_behind(observed: Observed) -> Cause:
    if observed.state["conflicts"] or observed.behind["conflicts"]:
        return Cause.RECOVERY_CONFLICT
    if observed.behind["unreceived"] > 0:
        return Cause.SLOW_TRANSPORT
    return Cause.APPLY_DELAY if observed.state["apply_delay_s"] else Cause.SLOW_APPLY


def _summary(freshness: Freshness, pipeline: Pipeline, low_s: float) -> str:
    flow = {
        Pipeline.STREAMING: "changes are streaming",
        Pipeline.PAUSED: "replay is paused",
        Pipeline.NO_RECEIVER: "nothing is being received",
        Pipeline.NOT_STREAMING: "the receiver is not streaming",
        Pipeline.SILENT: "the receiver has heard nothing for too long",
    }.get(pipeline, "whether changes stream is hidden from this role")
    if freshness is Freshness.FRESH:
        return f"the reader has everything that the writer had; {flow}"
    where = "received" if freshness is Freshness.TRANSPORT_BEHIND else "replayed"
    return f"the reader has not {where} what the writer had {low_s:g} s ago; {flow}"
