"""What the doctor answers: a diagnosis for each check."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Literal

from typing_extensions import override

from dbops.results import Checked, Measure, Model, Problem, Result, Status

Role = Literal["writer", "reader"]


class Severity(StrEnum):
    """How bad a finding is."""

    INFO = "info"
    """Worth knowing; the check stays ok."""
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"
    """It could not be decided."""


class Finding(Model):
    """One thing that is wrong, and what to do about it."""

    object: str
    """What it is about, such as `public.orders` or `pid 4711`; names are quoted as SQL
    quotes them."""
    message: str
    """What is wrong, in one sentence."""
    remedy: str | None = None
    """SQL (or a setting) that a person can paste; null when nothing general helps."""
    severity: Severity = Severity.WARN
    """How bad it is."""
    role: Role | None = None
    """Which server, where the check asks both; null where it asks one or compares."""
    database: str | None = None
    """Which database; null for the whole cluster."""


class Accepted(Model):
    """A finding that somebody has accepted."""

    object: str
    """As of the finding."""
    message: str
    """As of the finding."""
    database: str | None = None
    """As of the finding."""
    reason: str
    """Why it is accepted."""


class Diagnosis(Model):
    """The answer of one check."""

    id: str
    """Such as `D20`."""
    title: str
    """Such as `long transactions`."""
    question: str
    """What was asked."""
    scope: Literal["cluster", "database"]
    """Whether it is about the whole cluster or about each database."""
    status: Status
    """The worst of its findings; an `info` leaves it ok."""
    applies: bool = True
    """False where there was nothing to ask; the summary says why."""
    summary: str
    """What was seen, in one sentence."""
    findings: tuple[Finding, ...] = ()
    """What is wrong, the worst first."""
    accepted: tuple[Accepted, ...] = ()
    """What would be findings if nobody had accepted them."""
    notes: tuple[str, ...] = ()
    """What is worth knowing and nothing to act upon."""
    requires: str | None = None
    """What would let the check decide, such as a GRANT; null when it has decided."""
    duration_ms: float
    """From its first question to its answer, waiting for other checks included."""


def _details(it: Diagnosis) -> Iterator[str]:
    for found in it.findings:
        places = (f"in {found.database}" if found.database else "", found.role or "")
        place = " on ".join(it for it in places if it)
        yield f"{found.object}{f' ({place})' if place else ''}: {found.message}"
        if found.remedy is not None:
            yield f"remedy: {found.remedy}"
    if it.requires is not None:
        yield f"requires: {it.requires}"


class Doctor(Result):
    """Every check's diagnosis; the status is the worst of them."""

    counts: Mapping[str, int]
    """How many checks are ok, warn, fail, unknown, and how many do not apply."""
    checks: tuple[Diagnosis, ...]
    """In the order of their ids."""
    error: Problem | None = None
    """Why a server gave no answer; null when all did."""

    @property
    @override
    def problem(self) -> Problem | None:
        return self.error

    @override
    def checked(self) -> Sequence[Checked]:
        return [
            Checked(
                it.id,
                it.title,
                it.status,
                it.summary,
                list(_details(it)),
                is_skipped=not it.applies,
            )
            for it in self.checks
        ]

    @override
    def measures(self) -> Sequence[Measure]:
        return [
            Measure(
                "doctor_checks",
                float(number),
                labels={"status": name},
                about="Checks by their verdict.",
            )
            for name, number in self.counts.items()
        ]
