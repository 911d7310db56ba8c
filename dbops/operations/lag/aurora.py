"""How far behind is a reader of Aurora?

Aurora's readers share the writer's storage and tell their lag themselves. Every
question about WAL is an error in the customer's log there, so none is asked.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from dbops.endpoint import Address
from dbops.engine.read_only import ReadOnly
from dbops.errors import DbopsError
from dbops.limits import Limit
from dbops.operations.lag.answer import Answer, Node
from dbops.operations.lag.identity import broken, writer_is_standby
from dbops.operations.lag.instances import Row, instances
from dbops.operations.lag.kinds import Cause, Freshness, Pipeline
from dbops.operations.lag.nodes import silent_node
from dbops.operations.lag.result import Lag
from dbops.operations.lag.silence import no_reader
from dbops.operations.lag.wording import span
from dbops.results import Status

# Instances report every second or so.
STALE_S = 10.0


async def on_aurora(
    writer: ReadOnly, reader: ReadOnly, *, limit: Limit, require_replica: bool
) -> Lag:
    """Take Aurora's own word, for the instance that answers as the reader.

    Raises:
        DbopsError: As `ReadOnly.rows`, for the writer.
    """
    listed = await instances(writer)
    me = _me(listed)
    here = _node(writer.address, me)
    if me is not None and not me["is_writer"]:
        return writer_is_standby(here, silent_node(reader.address))
    try:
        seen = await instances(reader)
    except DbopsError as error:
        return no_reader(error, reader.address, writer=here)
    answer = judged(seen, reader.address, limit=limit, require_replica=require_replica)
    names = {row["name"] for row in listed}
    if listed and answer.reader.instance and answer.reader.instance not in names:
        answer = broken(
            Cause.WRONG_CLUSTER,
            "the reader belongs to another cluster than the writer",
            "check DATABASE_URL and DATABASE_READER_URL",
            reader=answer.reader,
        )
    return Lag(**dict(answer), writer=here)


async def aurora_alone(reader: ReadOnly, *, limit: Limit) -> Lag:
    """Take Aurora's word where only a reader answers: each knows of all.

    Raises:
        DbopsError: As `ReadOnly.rows`.
    """
    seen = await instances(reader)
    answer = judged(seen, reader.address, limit=limit, require_replica=False)
    return Lag(**dict(answer), writer=None)


async def each_instance(
    server: ReadOnly, others: Sequence[ReadOnly], *, limit: Limit
) -> list[Answer]:
    """Answer for every reader of the cluster, as one instance knows them.

    Args:
        server: Any of them.
        others: Those that may be asked where this one does not tell.
        limit: From which lag on it is bad.

    Raises:
        DbopsError: As `ReadOnly.rows`.
    """
    rows = await instances(server)
    if not rows and others:
        rows = await instances(others[0])
    where = server.address
    return [
        instance(row, _node(where, row), limit=limit)
        for row in rows
        if not row["is_writer"]
    ]


def judged(
    rows: list[Row], address: Address, *, limit: Limit, require_replica: bool
) -> Answer:
    """Judge the instance that has answered itself."""
    me = _me(rows)
    there = _node(address, me)
    if me is None:
        return unknown(there, "Aurora does not tell which instance this is")
    if me["is_writer"]:
        return broken(
            Cause.READER_IS_WRITER,
            f"the reader is the writer itself, {me['name']}: there is no replica to be "
            "behind",
            "without a reader instance, Aurora's reader endpoint leads to the writer",
            status=Status.FAIL if require_replica else Status.WARN,
            reader=there,
        )
    return instance(me, there, limit=limit)


def instance(row: Row, there: Node, *, limit: Limit) -> Answer:
    """Judge one reader by its row."""
    lag_s, age_s = row["lag_s"], row["age_s"]
    if lag_s is None:
        return unknown(there, f"Aurora tells no lag of {row['name']}")
    # Of the instance that answers, the time of its last report is null.
    if not row["is_me"] and (age_s is None or age_s > STALE_S):
        return unknown(there, f"{row['name']} has not reported for {span(age_s)}")
    high_s = lag_s + max(age_s or 0.0, 0.0)
    status = limit.graded(lag_s)
    if status is Status.OK and limit.graded(high_s) is Status.FAIL:
        status = Status.WARN
    is_behind = status is not Status.OK
    return Answer(
        status=status,
        freshness=Freshness.APPLY_BEHIND if is_behind else Freshness.FRESH,
        freshness_status=status,
        pipeline=Pipeline.NOT_APPLICABLE,
        pipeline_status=Status.OK,
        cause=Cause.SLOW_APPLY if is_behind else None,
        summary=f"the reader {row['name']} is {span(lag_s)} behind, by Aurora's own "
        "account",
        lag_low_s=round(lag_s, 3),
        lag_high_s=round(high_s, 3),
        as_of=datetime.now(UTC),
        reader=there,
    )


def unknown(there: Node, why: str) -> Answer:
    """Answer where Aurora keeps it to itself."""
    return Answer(
        status=Status.UNKNOWN,
        freshness=Freshness.UNKNOWN,
        pipeline=Pipeline.NOT_APPLICABLE,
        pipeline_status=Status.OK,
        summary=f"how far the reader is behind is unknown: {why}",
        reader=there,
    )


def _me(rows: list[Row]) -> Row | None:
    return next((row for row in rows if row["is_me"]), None)


def _node(address: Address, row: Row | None) -> Node:
    return Node(
        host=address.host,
        port=address.port,
        is_in_recovery=None if row is None else not row["is_writer"],
        instance=None if row is None else row["name"],
    )
