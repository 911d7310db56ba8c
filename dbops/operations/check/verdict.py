"""What a check answers, and which of several problems decides its exit code."""

from collections.abc import Sequence

from typing_extensions import override

from dbops.errors import Outcome
from dbops.operations.check.baseline import Accepted
from dbops.operations.check.differences import Difference
from dbops.operations.check.questions import (
    Drift,
    about_baseline,
    about_constraints,
    about_drift,
    about_heads,
    about_indexes,
    about_version,
)
from dbops.operations.migrate.heads import Heads, several
from dbops.operations.migrate.proof import InvalidIndex, NotValidConstraint
from dbops.operations.migrate.status import MigrationStatus, PendingRevision, State
from dbops.results import Checked as Question
from dbops.results import Measure, Model, Result, Status


class Finding(Model):
    """One thing that does not hold, and what to do about it."""

    message: str
    """One sentence."""
    remedy: str
    """A command, a statement, or what to change."""


class HeadsChecked(Result):
    """Whether the project has one head; no database was asked."""

    heads: tuple[str, ...]
    """The newest revisions; one where all is well."""
    fork_points: tuple[str, ...]
    """The newest revisions that the heads have in common."""
    merge: str | None
    """The command that joins several heads."""
    findings: tuple[Finding, ...]
    """What does not hold; empty when all does."""

    @property
    @override
    def outcome(self) -> Outcome:
        """Refused: nobody can say which of several heads is meant."""
        return Outcome.OK if self.merge is None else Outcome.REFUSED

    @override
    def checked(self) -> Sequence[Question]:
        return [about_heads(self.heads, are_several=self.merge is not None)]

    @classmethod
    def of(cls, found: Heads) -> "HeadsChecked":
        """Judge what was found."""
        return cls(
            status=Status.OK if found.merge is None else Status.FAIL,
            heads=found.heads,
            fork_points=found.fork_points,
            merge=found.merge,
            findings=heads_finding(found),
        )


class Checked(Result):
    """Whether a database is what the code expects, and sound."""

    heads: tuple[str, ...]
    """The newest revisions of the project; one where all is well."""
    fork_points: tuple[str, ...]
    """The newest revisions that several heads have in common."""
    merge: str | None
    """The command that joins several heads."""
    current: tuple[str, ...]
    """The revisions that the database says it has."""
    state: State
    """Where that is against the heads, as `dbops status` says."""
    pending: tuple[PendingRevision, ...]
    """What `dbops migrate` would apply, in order."""
    drift: Drift
    """`found`: models and database differ, beyond what the baseline accepts.
    `unknown`: env.py names no models. `not_compared`: not asked for, or the database
    is not at head, where every pending revision would look like a difference."""
    differences: tuple[Difference, ...]
    """Where models and database differ, accepted or not; views and functions are not
    compared."""
    stale: tuple[Accepted, ...]
    """What the baseline accepts although it no longer differs."""
    invalid_indexes: tuple[InvalidIndex, ...]
    """Indexes that no query uses, left by a build that failed."""
    incomplete_indexes: tuple[InvalidIndex, ...]
    """Indexes of partitioned tables that wait for those of their partitions."""
    not_valid_constraints: tuple[NotValidConstraint, ...]
    """Constraints that were never proved for the rows that were there before them."""
    findings: tuple[Finding, ...]
    """What does not hold and what helps; the one that decides comes first."""
    baseline_written: bool
    """Whether the differences were accepted now."""

    @property
    @override
    def outcome(self) -> Outcome:
        """Decide among several problems: the one that stands in the way of the others.

        Refused (several heads, ahead, diverged) before unhealthy (an invalid index, a
        constraint not valid, drift unknown) before pending (revisions, differences).
        """
        if self.merge is not None or self.state in ("ahead", "diverged"):
            return Outcome.REFUSED
        if self.invalid_indexes or self.not_valid_constraints:
            return Outcome.UNHEALTHY
        if self.state != "at_head" or self.drift == "found":
            return Outcome.PENDING
        return Outcome.UNHEALTHY if self.drift == "unknown" else Outcome.OK

    @override
    def checked(self) -> Sequence[Question]:
        version = MigrationStatus(
            current=self.current,
            heads=self.heads,
            pending=self.pending,
            state=self.state,
        )
        return [
            about_heads(self.heads, are_several=self.merge is not None),
            about_version(version),
            about_drift(self.drift, self.differences),
            about_indexes(self.invalid_indexes, self.incomplete_indexes),
            about_constraints(self.not_valid_constraints),
            *about_baseline(self.stale),
        ]

    @override
    def measures(self) -> Sequence[Measure]:
        is_known = self.drift in ("none", "found")
        new = sum(not it.accepted for it in self.differences) if is_known else None
        about = "Where models and database differ, beyond what is accepted."
        return [Measure("check_differences", new, about=about)]


def heads_finding(found: Heads) -> tuple[Finding, ...]:
    """Say that there are several heads, when there are."""
    if found.merge is None:
        return ()
    return (Finding(message=several(found), remedy=found.merge),)
