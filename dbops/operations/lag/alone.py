"""How fresh is a reader, as far as it knows itself?

Without the writer nobody knows how fresh it is: what it has is as fresh as the server
that it receives from, which may be a standby that was cut off long ago.
"""

from datetime import UTC, datetime
from time import monotonic
from typing import Any

from dbops.engine.aurora import IS_AURORA
from dbops.engine.read_only import ReadOnly
from dbops.operations.lag.answer import Node
from dbops.operations.lag.aurora import aurora_alone
from dbops.operations.lag.flow import Flow, flow
from dbops.operations.lag.judgement import why_not_replayed
from dbops.operations.lag.kinds import Cause, Freshness, Pipeline
from dbops.operations.lag.measures import Thresholds
from dbops.operations.lag.nodes import node_of
from dbops.operations.lag.position import polled_until
from dbops.operations.lag.result import Lag
from dbops.operations.lag.terms import Terms
from dbops.operations.lag.thresholds import patience_s
from dbops.operations.lag.wording import REMEDIES, place, span
from dbops.operations.replica.judgement import is_hidden
from dbops.operations.replica.questions import ON_READER
from dbops.results import Status, worst


async def alone(reader: ReadOnly, terms: Terms) -> Lag:
    """Wait until the reader has replayed what its upstream had when it last spoke.

    The answer is never ok: a warning where it has, unknown where it has not.

    Args:
        reader: The reader.
        terms: What counts as bad.

    Raises:
        DbopsError: As `ReadOnly.rows`.
    """
    thresholds = Thresholds.of(terms.limits)
    if await reader.value(IS_AURORA):
        found = await aurora_alone(reader, limit=terms.limits["s"])
        return found.model_copy(update={"thresholds": thresholds})
    state = await reader.row(ON_READER, None)
    if not state["is_in_recovery"]:
        text = "it is no standby, and there is no writer to compare it with"
        return _unknown(node_of(reader.address, state), text, thresholds)
    position, started = state["upstream_position"], monotonic()
    if position is not None:
        limit_s = patience_s(terms.limits, terms.limit_s)
        await polled_until(reader, position, deadline=started + limit_s)
        state = await reader.row(ON_READER, position)
    waited_s = round(monotonic() - started, 3)
    current = flow(state, warn_s=terms.limits["s"].warn)
    there = node_of(reader.address, state)
    found = _judged(there, state, current)
    return found.model_copy(update={"thresholds": thresholds, "waited_s": waited_s})


def _judged(there: Node, state: dict[str, Any], current: Flow) -> Lag:
    if is_hidden(state):
        text = "what it receives is hidden from this role, and no writer was asked"
        return _unknown(there, text, None, current)
    if current.pipeline not in (
        Pipeline.STREAMING,
        Pipeline.DELAYED,
        Pipeline.PAUSED,
    ):
        return _unknown(there, "it receives nothing that can be trusted", None, current)
    if not state["is_replayed"]:
        text = "it has not replayed what it was told of"
        found = _unknown(there, text, None, current)
        cause = why_not_replayed([state])
        return found.model_copy(
            update={
                "cause": cause,
                "remedy": REMEDIES.get(cause),
                "bytes_behind": state["bytes_behind"],
                "summary": f"{found.summary}: {cause.value.replace('_', ' ')}",
            }
        )
    return Lag(
        status=worst((Status.WARN, current.status)),
        freshness=Freshness.AS_UPSTREAM,
        freshness_status=Status.WARN,
        pipeline=current.pipeline,
        pipeline_status=current.status,
        cause=current.cause,
        summary=f"the reader {place(there)} is as fresh as its upstream "
        f"{there.upstream}, as of the last message {span(state['silent_s'])} ago; no "
        "writer was there to compare with",
        requires="give the writer too: DATABASE_URL",
        as_of=datetime.now(UTC),
        reader=there,
        writer=None,
    )


def _unknown(
    there: Node, why: str, thresholds: Thresholds | None, current: Flow | None = None
) -> Lag:
    pipeline = current.pipeline if current else Pipeline.UNKNOWN
    cause: Cause | None = current.cause if current else None
    return Lag(
        status=Status.UNKNOWN,
        freshness=Freshness.UNKNOWN,
        freshness_status=Status.UNKNOWN,
        pipeline=pipeline,
        pipeline_status=current.status if current else Status.UNKNOWN,
        cause=cause,
        summary=f"how fresh the reader {place(there)} is cannot be known: {why}",
        remedy=REMEDIES.get(cause) if cause else None,
        requires=(current and current.requires) or "give the writer too: DATABASE_URL",
        reader=there,
        writer=None,
        thresholds=thresholds,
    )
