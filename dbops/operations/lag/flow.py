"""Do changes flow to the reader, however fresh it is now?"""

from typing import Any, NamedTuple

from dbops.operations.lag.kinds import Cause, Pipeline
from dbops.operations.replica.judgement import grant, is_hidden
from dbops.results import Status, worst


class Flow(NamedTuple):
    """The verdict over the pipeline."""

    pipeline: Pipeline
    status: Status
    cause: Cause | None = None
    requires: str | None = None


def flow(state: dict[str, Any], *, warn_s: float | None = None) -> Flow:
    """Return the worst verdict over a reader's row of ON_READER.

    Args:
        state: The row.
        warn_s: An apply delay of that is worth a warning; None is never.
    """
    found = flows(state, warn_s=warn_s)
    status = worst(it.status for it in found)
    # Of what is equally bad, what somebody has done on purpose says more.
    return next(it for it in reversed(found) if it.status is status)


def flows(state: dict[str, Any], *, warn_s: float | None = None) -> list[Flow]:
    """Return every verdict over a reader's row of ON_READER; see `flow`."""
    found = [_received(state)]
    if state["pause_state"] not in (None, "not paused"):
        found.append(Flow(Pipeline.PAUSED, Status.WARN, Cause.REPLAY_PAUSED))
    delay_s = state["apply_delay_s"]
    if delay_s:
        is_long = warn_s is not None and delay_s >= warn_s
        status = Status.WARN if is_long else Status.OK
        found.append(
            Flow(Pipeline.DELAYED, status, Cause.APPLY_DELAY if is_long else None)
        )
    return found


def _received(state: dict[str, Any]) -> Flow:
    if state["receiver_pid"] is None:
        return _without_receiver(state)
    if is_hidden(state):
        return Flow(Pipeline.UNKNOWN, Status.WARN, None, grant(state))
    if state["receiver_status"] != "streaming":
        return Flow(Pipeline.NOT_STREAMING, Status.WARN, Cause.RECEIVER_DOWN)
    silent_s, limit_s = state["silent_s"] or 0.0, state["receiver_timeout_s"]
    # A healthy receiver asks its sender for a word after half of that time.
    if limit_s and silent_s > limit_s:
        return Flow(Pipeline.SILENT, Status.FAIL, Cause.SLOW_TRANSPORT)
    return Flow(Pipeline.STREAMING, Status.OK)


def _without_receiver(state: dict[str, Any]) -> Flow:
    if state["has_archive"] and state["is_archive_only"]:
        return Flow(Pipeline.ARCHIVE, Status.OK)
    if state["has_archive"] and state["is_archive_only"] is None:
        needed = f"GRANT pg_read_all_settings TO {state['role']}"
        return Flow(Pipeline.UNKNOWN, Status.UNKNOWN, None, needed)
    return Flow(Pipeline.NO_RECEIVER, Status.FAIL, Cause.RECEIVER_DOWN)
