"""What a report holds: the answers of the other checks, and what only a page shows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from typing_extensions import override

from dbops.operations.doctor import Doctor
from dbops.operations.lag import Lag
from dbops.operations.ping import Ping
from dbops.operations.pool import Pool
from dbops.results import Checked, Measure, Model, Problem, Result


class LagSample(Model):
    """The lag at one instant; null is unknown, and a gap in the chart."""

    at_s: float
    """Seconds since the first sample."""
    low_s: float | None = None
    """The reader was at least this many seconds behind."""
    high_s: float | None = None
    """And at most this many."""


class Relation(Model):
    """A table or an index, by its size on disk."""

    name: str
    """Schema and name, quoted as SQL quotes them."""
    kind: Literal["table", "index"]
    """Which of the two; a materialized view counts as a table."""
    table: str | None = None
    """The table of an index; null for a table."""
    size_bytes: int
    """On the writer: a table with its TOAST, without its indexes."""
    is_estimate: bool = False
    """Whether the size is the catalog's, as of the last vacuum."""
    rows: int | None = None
    """The planner's estimate; null where the table was never analyzed."""


class Report(Result):
    """The answers, taken within a minute or so of each other."""

    taken_at: datetime
    """When it was begun, by our clock, in UTC."""
    ping: Ping | None = None
    """Null, as every other answer, where `problems` says why."""
    lag: Lag | None = None
    """Null also without a reader."""
    pool: Pool | None = None
    """See `ping`."""
    doctor: Doctor | None = None
    """See `ping`."""
    samples: tuple[LagSample, ...] = ()
    """The lag over time; empty without a reader."""
    relations: tuple[Relation, ...] = ()
    """The biggest tables, then the biggest indexes."""
    problems: Mapping[str, Problem]
    """Which question has no answer, such as `pool` → why."""

    @property
    @override
    def problem(self) -> Problem | None:
        return next(iter(self.problems.values()), None) or next(
            (it.problem for it in self._answers() if it.problem is not None), None
        )

    @override
    def checked(self) -> Sequence[Checked]:
        return [checked for it in self._answers() for checked in it.checked()]

    @override
    def measures(self) -> Sequence[Measure]:
        return [measure for it in self._answers() for measure in it.measures()]

    def _answers(self) -> Sequence[Result]:
        answers = (self.ping, self.lag, self.pool, self.doctor)
        return [it for it in answers if it is not None]
