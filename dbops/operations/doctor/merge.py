"""How do the answers of several servers, or databases, become one?"""

from collections.abc import Sequence

from dbops.operations.doctor.check import Found

_MOST = 4


def merged(answers: Sequence[tuple[str, Found]]) -> Found:
    """Put together what was heard, each with the name of who said it.

    Args:
        answers: One or more.
    """
    if len(answers) == 1:
        return answers[0][1]
    found = [it for _, it in answers]
    return Found(
        _summary(answers),
        tuple(finding for it in found for finding in it.findings),
        tuple(dict.fromkeys(note for it in found for note in it.notes)),
        "; ".join(dict.fromkeys(it.requires for it in found if it.requires)) or None,
    )


def _summary(answers: Sequence[tuple[str, Found]]) -> str:
    """Say once what several say, those first where something was found."""
    speakers: dict[str, list[str]] = {}
    for name, found in sorted(answers, key=lambda it: not it[1].findings):
        speakers.setdefault(found.summary, []).append(name)
    if len(speakers) == 1:
        return answers[0][1].summary
    told = [
        f"{_listed(names)}: {summary}"
        for summary, names in list(speakers.items())[:_MOST]
    ]
    more = len(speakers) - _MOST
    return "; ".join([*told, *([f"and {more} more"] if more > 0 else [])])


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST])
    return shown if len(names) <= _MOST else f"{shown} and {len(names) - _MOST} more"
