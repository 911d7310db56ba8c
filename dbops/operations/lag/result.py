"""What a check of the lag answers, all readers together."""

from collections.abc import Sequence

from typing_extensions import override

from dbops.operations.lag.answer import Answer, Node
from dbops.operations.lag.measures import Thresholds, measures_of
from dbops.results import Checked, Measure, Problem, Result, Status


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
