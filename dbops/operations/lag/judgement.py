"""How is what was observed judged?"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil, floor
from typing import Any, NamedTuple

from dbops.limits import Limit, Unit
from dbops.operations.lag.answer import Answer, Node
from dbops.operations.lag.flow import Flow, flow
from dbops.operations.lag.kinds import Cause, Freshness
from dbops.operations.lag.waiting import Observed
from dbops.operations.lag.wording import REMEDIES, summary
from dbops.operations.replica.judgement import Token, grant, judged
from dbops.results import Status, worst

_MS = 1000


class Bounds(NamedTuple):
    """How far behind the reader is: at least, and at most."""

    freshness: Freshness
    low_s: float | None = None
    high_s: float | None = None


def measured(
    observed: Observed, token: Token, *, limits: Mapping[Unit, Limit], reader: Node
) -> Answer:
    """Grade freshness and pipeline; the status is the worse of both."""
    bounds, state = bounded(observed, token), observed.last.state
    current = flow(state, warn_s=limits["s"].warn)
    size = _bytes(observed, bounds.freshness)
    fresh_status = worst(
        (graded(bounds, limits["s"]), limits.get("B", Limit(None, None)).graded(size))
    )
    cause = _cause(observed, bounds.freshness, current)
    requires = current.requires
    if bounds.freshness is Freshness.UNKNOWN:
        requires = requires or grant(state)
    return Answer(
        status=worst((fresh_status, current.status)),
        freshness=bounds.freshness,
        freshness_status=fresh_status,
        pipeline=current.pipeline,
        pipeline_status=current.status,
        cause=cause,
        summary=summary(
            bounds.freshness,
            bounds.low_s,
            bounds.high_s,
            cause=cause,
            pipeline=current.pipeline,
            reader=reader,
            is_uncertain=is_uncertain(bounds, limits["s"]),
        ),
        remedy=REMEDIES.get(cause) if cause else None,
        lag_low_s=_rounded(bounds.low_s, floor),
        lag_high_s=_rounded(bounds.high_s, ceil),
        bytes_behind=size,
        waited_s=round(observed.waited_s, 3),
        as_of=observed.last.at if bounds.low_s is not None else None,
        requires=requires,
        reader=reader,
    )


def bounded(observed: Observed, token: Token) -> Bounds:
    """Bound the lag: the age of the oldest commit that the reader lacks."""
    last, lacks = observed.last, observed.missing
    verdict = judged(token, last.state)
    if verdict == "replayed":
        # A commit that was not flushed lies behind the position.
        known = [last.since_asked_s] if token.is_all else []
        if lacks is not None:
            known += [] if lacks.age_high_s is None else [lacks.age_high_s]
            known += [observed.asking_s] if lacks.is_none else []
        return Bounds(Freshness.FRESH, 0.0, min(known, default=None))
    if verdict == "unproved":
        return Bounds(Freshness.UNKNOWN)
    if lacks is not None and lacks.is_none:
        return Bounds(Freshness.FRESH, 0.0, observed.asking_s)
    is_transport = (last.state["bytes_unreceived"] or 0) > 0
    behind = Freshness.TRANSPORT_BEHIND if is_transport else Freshness.APPLY_BEHIND
    if lacks is None:
        return Bounds(behind, 0.0 if observed.is_cut_off else last.since_told_s)
    low_s = last.since_told_s if lacks.is_proved else 0.0
    if lacks.age_low_s is not None:
        # It was told a moment after the look.
        low_s = max(low_s, lacks.age_low_s - observed.asking_s)
    high_s = lacks.age_high_s
    return Bounds(behind, low_s, None if high_s is None else max(high_s, low_s))


def graded(bounds: Bounds, limit: Limit) -> Status:
    """Judge the bounds: certainly bad, certainly good, or worth a warning."""
    if bounds.low_s is None:
        return Status.UNKNOWN
    if bounds.freshness is Freshness.FRESH:
        return limit.graded(bounds.high_s)
    least = limit.graded(bounds.low_s)
    if bounds.high_s is not None and limit.graded(bounds.high_s) is least:
        return least
    return worst((least, Status.WARN))


def is_uncertain(bounds: Bounds, limit: Limit) -> bool:
    """Tell whether the failing threshold lies between the bounds."""
    if bounds.low_s is None or bounds.freshness is Freshness.FRESH:
        return False
    is_bad = limit.graded(bounds.low_s) is Status.FAIL
    may_be = bounds.high_s is None or limit.graded(bounds.high_s) is Status.FAIL
    return may_be and not is_bad


def _bytes(observed: Observed, freshness: Freshness) -> int | None:
    if freshness is Freshness.FRESH or observed.missing is None:
        # A fresh reader lacked so much a moment ago.
        known = observed.first if freshness is Freshness.FRESH else observed.last
        size = known.state["bytes_behind"]
        return None if size is None else max(size, 0)
    return observed.missing.bytes_behind


def _cause(observed: Observed, freshness: Freshness, current: Flow) -> Cause | None:
    if freshness is Freshness.APPLY_BEHIND:
        return why_not_replayed([observed.last.state, observed.first.state])
    if current.cause is not None:
        return current.cause
    if freshness is Freshness.TRANSPORT_BEHIND:
        return Cause.SLOW_TRANSPORT
    return None


def why_not_replayed(states: Sequence[dict[str, Any]]) -> Cause:
    """Say what holds the replay back, by rows of ON_READER, the newest first."""
    newest = states[0]
    if newest["pause_state"] not in (None, "not paused"):
        return Cause.REPLAY_PAUSED
    if any(state["conflicts"] for state in states):
        return Cause.RECOVERY_CONFLICT
    return Cause.APPLY_DELAY if newest["apply_delay_s"] else Cause.SLOW_APPLY


def _rounded(value_s: float | None, way: Callable[[float], int]) -> float | None:
    """Round to milliseconds, outwards: the truth stays between the bounds."""
    return None if value_s is None else way(value_s * _MS) / _MS
