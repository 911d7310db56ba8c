"""How many processes does the application have at most?"""

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from dbops.errors import UsageError
from dbops.limits import Amount, amount_text
from dbops.settings import Settings

# Kubernetes' own default for a rolling update; a share is rounded up.
# https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-surge
_SURGE = Amount(25, "%")


@dataclass(frozen=True)
class Fleet:
    """The application's processes."""

    replicas: int | None
    """How many replicas there are at most; None for one that stands by itself."""
    surge: Amount
    """How many more a deploy starts: a share of the replicas, or a number."""
    workers: int
    """Processes in each replica."""
    jobs: int
    """Processes of jobs."""
    readers: int
    """How many readers share what is read."""

    def pods(self, replicas: int) -> int:
        """Return how many run at once during a deploy of so many replicas."""
        if self.replicas is None:
            return replicas
        if self.surge.unit == "%":
            return replicas + ceil(Fraction(str(self.surge.value)) * replicas / 100)
        return replicas + int(self.surge.value)

    def pods_text(self) -> str:
        """Write the pods of a deploy as an equation."""
        if self.replicas is None:
            return "1"
        if self.surge.unit == "%":
            return f"ceil({self.replicas} * {1 + self.surge.value / 100:.10g})"
        return f"({self.replicas} + {self.surge.value:g})"

    def most_replicas(self, pods: int) -> int:
        """Return the largest number of replicas whose deploy has at most `pods`."""
        numbers = range(max(pods, 0) + 1)
        return max(bisect_right(numbers, pods, key=self.pods) - 1, 0)


def fleet(settings: Settings) -> Fleet:
    """Read the fleet from the settings.

    Raises:
        UsageError: If the surge is neither one share nor one whole number.
    """
    surge = settings.surge[0] if settings.surge else _SURGE
    is_whole = surge.unit == "" and surge.value == int(surge.value)
    if len(settings.surge) > 1 or not (surge.unit == "%" or is_whole):
        said = ",".join(amount_text(*it) for it in settings.surge)
        raise UsageError(
            f"--surge {said} is neither a share nor a number of replicas",
            hint="write it as Kubernetes' maxSurge: 25% or 2",
        )
    return Fleet(
        settings.replicas,
        surge,
        settings.workers,
        settings.job_processes,
        settings.readers,
    )
