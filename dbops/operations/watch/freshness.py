"""How far behind is the reader, as far as two answers tell?"""

from typing import Any, NamedTuple

from dbops.limits import Limit
from dbops.operations.watch.answer import SampledLag
from dbops.operations.watch.server import Seen
from dbops.operations.watch.tokens import Bounds
from dbops.results import Status, worst
from dbops.units import duration_text

_UNKNOWN = Bounds(None, None)


class Flow(NamedTuple):
    """Whether changes flow to the reader, however fresh it is now."""

    status: Status
    summary: str
    requires: str | None = None


def compared(writer: Seen | None, reader: Seen | None) -> SampledLag | None:
    """Judge where no position has to be compared; None where positions decide."""
    if reader is None:
        return _without(Status.UNKNOWN, "the reader gives no answer")
    if reader.is_aurora:
        return _aurora(reader.place)
    if writer is not None:
        return _identified(writer, reader.place)
    if not reader.place["is_in_recovery"]:
        return _without(Status.UNKNOWN, "the reader is no standby")
    return None


def _identified(writer: Seen, here: dict[str, Any]) -> SampledLag | None:
    """Compare who the two are before any position."""
    there = writer.place
    if writer.is_aurora or there["system_identifier"] != here["system_identifier"]:
        return _without(Status.FAIL, "the reader belongs to another cluster")
    if there["is_in_recovery"]:
        return _without(Status.UNKNOWN, "the server given as the writer is a standby")
    if here["is_in_recovery"]:
        return _other_timeline(there["timeline"], here)
    if all(there[name] == here[name] for name in ("started", "port")):
        return _without(Status.WARN, "the reader is the writer itself")
    return _without(Status.FAIL, "the reader was promoted: there are two primaries")


def judged(
    bounds: Bounds, reader: dict[str, Any], missing: int | None, limit: Limit
) -> SampledLag:
    """Grade age and flow; the status is the worse of both.

    Args:
        bounds: Of its age.
        reader: The row of REPLAY.
        missing: The bytes that it has not replayed; None where that is unknown.
        limit: From which age on it is bad.
    """
    flow = _flow(reader)
    return SampledLag(
        status=worst((_graded(bounds, limit), flow.status)),
        low_s=None if bounds.low_s is None else round(bounds.low_s, 3),
        high_s=None if bounds.high_s is None else round(bounds.high_s, 3),
        bytes_behind=missing,
        summary=f"{_age(bounds)}; {flow.summary}",
        requires=flow.requires,
    )


def _graded(bounds: Bounds, limit: Limit) -> Status:
    """Judge the lower bound; what the upper one leaves open is not ok."""
    low = limit.graded(bounds.low_s)
    is_open = bounds.high_s is None or limit.graded(bounds.high_s) is not low
    return Status.UNKNOWN if low is Status.OK and is_open else low


def _age(bounds: Bounds) -> str:
    low_s, high_s = bounds
    if low_s is None:
        return "how far behind it is, is unknown"
    if not low_s and high_s is not None:
        return f"at most {_text(high_s)} behind"
    if high_s is None:
        return f"at least {_text(low_s)} behind"
    return f"{_text(low_s)} to {_text(high_s)} behind"


def _text(value_s: float) -> str:
    return duration_text(round(value_s, 1 if value_s >= 1 else 3))


def _flow(reader: dict[str, Any]) -> Flow:
    if reader["pause_state"] not in (None, "not paused"):
        return Flow(Status.WARN, "its replay is paused")
    if reader["receiver_pid"] is None:
        return Flow(Status.FAIL, "it receives nothing")
    if reader["receiver_status"] is None:
        grant = f"GRANT pg_read_all_stats TO {reader['user']}"
        return Flow(Status.WARN, "whether it receives anything is hidden", grant)
    return _stream(reader)


def _stream(reader: dict[str, Any]) -> Flow:
    if reader["receiver_status"] != "streaming":
        return Flow(Status.WARN, f"its receiver is {reader['receiver_status']}")
    limit_s, silent_s = reader["receiver_timeout_s"], reader["silent_s"]
    if limit_s and silent_s is not None and silent_s > limit_s:
        return Flow(Status.FAIL, f"it has heard nothing for {_text(silent_s)}")
    if reader["apply_delay_s"]:
        delay = _text(reader["apply_delay_s"])
        return Flow(Status.OK, f"it streams, and applies everything {delay} late")
    return Flow(Status.OK, "it streams")


def _other_timeline(timeline: int, reader: dict[str, Any]) -> SampledLag | None:
    """Refuse to compare positions of two timelines."""
    follows = reader["received_timeline"] or reader["known_timeline"]
    if follows == timeline:
        return None
    hidden = reader["receiver_pid"] is not None and reader["receiver_status"] is None
    grant = f"GRANT pg_read_all_stats TO {reader['user']}" if hidden else None
    why = f"the reader is on timeline {follows}, the writer on {timeline}"
    status = Status.FAIL if (follows or 0) > timeline else Status.UNKNOWN
    return _without(status, why, requires=grant)


# What its manual calls the lag is what Aurora itself measures; there is nothing else.
def _aurora(place: dict[str, Any]) -> SampledLag:
    if not place:
        return _without(Status.UNKNOWN, "Aurora does not list the reader")
    if place["is_writer"]:
        return _without(Status.WARN, "the reader is the writer itself")
    if place["lag_s"] is None:
        return _without(Status.UNKNOWN, "Aurora does not say how far behind it is")
    lag_s = round(float(place["lag_s"]), 3)
    return SampledLag(
        status=Status.OK,
        low_s=lag_s,
        high_s=lag_s,
        summary=f"Aurora says {_text(lag_s)} behind",
    )


def _without(status: Status, why: str, *, requires: str | None = None) -> SampledLag:
    return SampledLag(status=status, summary=why, requires=requires)
