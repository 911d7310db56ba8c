"""What a check of the lag answers."""

from collections.abc import Sequence
from datetime import datetime

from typing_extensions import override

from dbops.operations.lag.kinds import Cause, Freshness, Pipeline
from dbops.operations.lag.measures import Thresholds, measures_of
from dbops.results import Checked, Measure, Model, Problem, Result, Status


class Node(Model):
    """One server."""

    host: str
    """The host that answered."""
    port: int | None
    """Its port; null where only another server knows of it."""
    is_in_recovery: bool | None
    """True for a standby; null when it did not answer."""
    instance: str | None = None
    """Which instance answered, in its own words: its address, or Aurora's name for it;
    behind one host name there may be several."""
    upstream: str | None = None
    """From where it receives; null for a writer, and where that is hidden."""

    @property
    def address(self) -> str:
        """Host and port, as far as they are known."""
        return self.host if self.port is None else f"{self.host}:{self.port}"


class Answer(Model):
    """What is known of one reader."""

    status: Status
    """The worse of freshness and pipeline."""
    freshness: Freshness
    """How old the reader's data are."""
    freshness_status: Status = Status.UNKNOWN
    """The verdict over that alone."""
    pipeline: Pipeline
    """Whether changes flow."""
    pipeline_status: Status = Status.UNKNOWN
    """The verdict over that alone."""
    cause: Cause | None = None
    """Why not; null when nothing is wrong."""
    summary: str
    """One sentence for a person."""
    remedy: str | None = None
    """What to do, where something general helps."""
    lag_low_s: float | None = None
    """The reader is at least this many seconds behind; null when that is unknown."""
    lag_high_s: float | None = None
    """And at most this many; null when there is no bound."""
    bytes_behind: int | None = None
    """WAL of the writer that the reader had not replayed; null when unknown. Of a fresh
    reader, how much it lacked when it was first asked."""
    waited_s: float | None = None
    """How long the token was waited for."""
    as_of: datetime | None = None
    """When the bounds held; null where there are none."""
    requires: str | None = None
    """What would let dbops know more; null when it knows all."""
    reader: Node
    """The reader."""


class Lag(Answer, Result):
    """Freshness and pipeline, graded apart; the status is the worse of both.

    Of several readers, what stands here is the worst of them.
    """

    writer: Node | None
    """The writer; null where none is configured."""
    thresholds: Thresholds | None = None
    """From where on it is bad."""
    readers: tuple[Answer, ...] = ()
    """Each reader, where each was asked."""
    error: Problem | None = None
    """Why a server gave no answer; null when all did."""

    @property
    @override
    def problem(self) -> Problem | None:
        return self.error

    @override
    def checked(self) -> Sequence[Checked]:
        if len(self.readers) > 1:
            return [
                it
                for reader in self.readers
                for it in _checked(reader, is_one_of_many=True)
            ]
        return _checked(self)

    @override
    def measures(self) -> Sequence[Measure]:
        are_many = len(self.readers) > 1
        return [
            it
            for reader in (self.readers if are_many else (self,))
            for it in measures_of(reader, self.thresholds, is_one_of_many=are_many)
        ]


def _checked(answer: Answer, *, is_one_of_many: bool = False) -> list[Checked]:
    where = answer.reader.address
    suffix = f"@{where}" if is_one_of_many else ""
    details = [it for it in (answer.remedy, answer.requires) if it is not None]
    flow = answer.pipeline.value.replace("_", " ")
    return [
        Checked(
            f"freshness{suffix}",
            f"freshness of {where}",
            answer.freshness_status,
            answer.summary,
            details,
        ),
        Checked(
            f"pipeline{suffix}",
            f"pipeline to {where}",
            answer.pipeline_status,
            f"the pipeline is {flow}",
            # What is said of its freshness already is not said again.
            details if answer.freshness_status is Status.OK else (),
        ),
    ]
