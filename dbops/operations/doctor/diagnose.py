"""What do the answers of a check come to?"""

from collections.abc import Mapping

from dbops.operations.doctor.answer import Diagnosis, Severity
from dbops.operations.doctor.ask import Asked
from dbops.operations.doctor.check import Check, Found
from dbops.operations.doctor.choices import Choices
from dbops.operations.doctor.merge import merged
from dbops.results import Status, worst

_WORST_FIRST = (Severity.FAIL, Severity.UNKNOWN, Severity.WARN, Severity.INFO)
_STATUS = {
    Severity.INFO: Status.OK,
    Severity.WARN: Status.WARN,
    Severity.FAIL: Status.FAIL,
    Severity.UNKNOWN: Status.UNKNOWN,
}


def diagnose(check: Check, asked: Mapping[str, Asked], choices: Choices) -> Diagnosis:
    """Judge what a check has seen.

    Args:
        check: Which one.
        asked: Database → what it has seen there; the configured one is the first.
        choices: What the user accepts.
    """
    found = _together(asked)
    applies = found is not None
    if found is None:
        found = Found(f"does not apply: {next(iter(asked.values())).why_not}")
    counting, accepted = choices.sorted_out(check, found.findings)
    return Diagnosis(
        id=check.id,
        title=check.title,
        question=check.question,
        scope=check.scope,
        status=worst(_STATUS[it.severity] for it in counting),
        applies=applies,
        summary=found.summary,
        findings=tuple(
            sorted(counting, key=lambda it: _WORST_FIRST.index(it.severity))
        ),
        accepted=tuple(accepted),
        notes=found.notes,
        requires=found.requires,
        duration_ms=round(sum(it.duration_ms for it in asked.values()), 3),
    )


def _together(asked: Mapping[str, Asked]) -> Found | None:
    """Leave out the databases in which there was nothing to ask."""
    answers = [(name, it.found) for name, it in asked.items() if it.found is not None]
    return merged(answers) if answers else None
