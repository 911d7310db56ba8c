"""What a ping answers, all endpoints together."""

from collections.abc import Sequence

from typing_extensions import override

from dbops.operations.ping.answer import PingedEndpoint
from dbops.operations.ping.measures import measures_of
from dbops.results import Checked, Measure, Problem, Result


class Ping(Result):
    """The answers, in the order writer, reader."""

    summary: str
    """One sentence, the worst first."""
    endpoints: tuple[PingedEndpoint, ...]
    """One for each endpoint that was asked."""
    warn_ms: float | None = None
    """The total time from which on an answer is worth a warning; null for never."""
    fail_ms: float | None = None
    """The total time from which on it fails; null for never."""

    @property
    @override
    def problem(self) -> Problem | None:
        """What the first endpoint that fails says."""
        return next((e.error for e in self.endpoints if e.error is not None), None)

    @override
    def checked(self) -> Sequence[Checked]:
        return [
            Checked(
                f"ping_{it.role}",
                f"does the {it.role} answer, and is it one?",
                it.status,
                it.summary,
            )
            for it in self.endpoints
        ]

    @override
    def measures(self) -> Sequence[Measure]:
        limits_ms = self.warn_ms, self.fail_ms
        return [it for one in self.endpoints for it in measures_of(one, limits_ms)]
