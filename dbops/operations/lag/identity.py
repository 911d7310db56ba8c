"""What do the identities alone decide?

Nobody compares positions of servers that do not belong together.
"""

from dbops.errors import RefusedError
from dbops.operations.lag.answer import Answer, Node
from dbops.operations.lag.kinds import Cause, Freshness, Pipeline
from dbops.operations.lag.result import Lag
from dbops.operations.lag.waiting import Look
from dbops.operations.lag.wording import REMEDIES, place
from dbops.operations.replica.judgement import (
    Relation,
    Token,
    related,
    timeline_of,
    told,
)
from dbops.results import Problem, Status

_CAUSES: dict[Relation, Cause] = {
    "stranger": Cause.WRONG_CLUSTER,
    "promoted": Cause.SPLIT_BRAIN,
    "diverged": Cause.TIMELINE_DIVERGED,
    "is_writer": Cause.READER_IS_WRITER,
}


def decided(
    token: Token, look: Look, *, reader: Node, require_replica: bool
) -> Answer | None:
    """Answer where the reader does not follow this writer; None where it does."""
    relation = related(token, look.state)
    if relation != "follows":
        text, remedy = told(relation, token, look.state)
        status = Status.FAIL
        if relation == "is_writer" and not require_replica:
            status = Status.WARN
        return broken(_CAUSES[relation], text, remedy, status=status, reader=reader)
    if look.state["is_replayed"] and 0 < timeline_of(look.state) < token.timeline:
        return _left_behind(token, look, reader)
    return None


def _left_behind(token: Token, look: Look, reader: Node) -> Answer | None:
    """Answer for a reader on an older timeline that is past the writer's position."""
    is_hidden = look.state["receiver_status"] is None and look.state["receiver_pid"]
    if is_hidden:
        return None
    text = (
        f"the reader follows timeline {timeline_of(look.state)}, and the writer is on "
        f"{token.timeline}: it did not follow the promotion"
    )
    remedy = "look into the reader's log; one that cannot follow has to be rebuilt"
    return broken(Cause.TIMELINE_DIVERGED, text, remedy, reader=reader)


def broken(
    cause: Cause,
    text: str,
    remedy: str | None,
    *,
    status: Status = Status.FAIL,
    reader: Node,
) -> Answer:
    """Answer without a number, because none would mean anything."""
    freshness, pipeline = Freshness.UNKNOWN, Pipeline.BROKEN
    if cause in (Cause.READER_IS_WRITER, Cause.SPLIT_BRAIN):
        freshness = Freshness.NOT_APPLICABLE
    if cause is Cause.READER_IS_WRITER:
        pipeline = Pipeline.NOT_APPLICABLE
    return Answer(
        status=status,
        freshness=freshness,
        freshness_status=status,
        pipeline=pipeline,
        pipeline_status=status,
        cause=cause,
        summary=text,
        remedy=remedy,
        reader=reader,
    )


def writer_is_standby(writer: Node, reader: Node) -> Lag:
    """Answer where the server given as the writer is none."""
    cause = Cause.WRITER_IS_STANDBY
    text = f"{place(writer)} is given as the writer and is a standby"
    answer = broken(cause, text, REMEDIES[cause], reader=reader)
    refused = RefusedError(text, hint=REMEDIES[cause], phase="query")
    return Lag(**dict(answer), writer=writer, error=Problem.of(refused))
