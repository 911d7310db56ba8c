"""What does a report say, a sentence for each question?"""

from typing import NamedTuple

from dbops.operations.report import Report
from dbops.results import Result, Status


class Said(NamedTuple):
    """One question's verdict."""

    name: str
    """Such as `lag`."""
    question: str
    """What was asked, for a person."""
    status: Status
    """Unknown where there is no answer."""
    summary: str
    """One sentence; without an answer, why."""


def answers(report: Report) -> list[Said]:
    """Return what each question has been answered, or why not."""
    asked: dict[str, tuple[str, Result | None]] = {
        "ping": ("Does it answer?", report.ping),
        "lag": ("Is the reader fresh?", report.lag),
        "pool": ("Is there room?", report.pool),
        "doctor": ("Is all well?", report.doctor),
    }
    said = []
    for name, (question, answer) in asked.items():
        problem = report.problems.get(name)
        if answer is not None:
            said.append(Said(name, question, answer.status, answer.headline()))
        elif problem is not None:
            said.append(Said(name, question, Status.UNKNOWN, problem.message))
    return said
