"""What is said where a server gives no answer?"""

from dbops.endpoint import Address
from dbops.errors import DbopsError, UnreachableError
from dbops.operations.lag.answer import Node
from dbops.operations.lag.kinds import Cause, Freshness, Pipeline
from dbops.operations.lag.nodes import silent_node
from dbops.operations.lag.result import Lag
from dbops.results import Problem, Status


def no_reader(error: DbopsError, reader: Address, *, writer: Node) -> Lag:
    """Answer for a reader that gave none: its lag is unknown, and never 0."""
    is_silent = isinstance(error, UnreachableError)
    status = Status.UNKNOWN if is_silent else Status.FAIL
    return Lag(
        status=status,
        freshness=Freshness.UNKNOWN,
        freshness_status=status,
        pipeline=Pipeline.UNKNOWN,
        pipeline_status=status,
        cause=Cause.READER_UNREACHABLE,
        summary=f"the reader gives no answer, so its lag is unknown: {error.message}",
        remedy=error.hint,
        reader=silent_node(reader),
        writer=writer,
        error=Problem.of(error),
    )


def no_writer(error: DbopsError, reader: Lag) -> Lag:
    """Answer for a writer that gave none: what the reader says of itself, and why.

    Args:
        error: Why the writer gave no answer.
        reader: What the reader knows by itself.
    """
    return reader.model_copy(
        update={
            "status": Status.UNKNOWN,
            "freshness_status": Status.UNKNOWN,
            "cause": reader.cause or Cause.WRITER_UNREACHABLE,
            "summary": f"the writer gives no answer; {reader.summary}",
            "remedy": error.hint,
            "requires": None,
            "error": Problem.of(error),
        }
    )
