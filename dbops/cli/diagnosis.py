"""A doctor's answer as text for a person: the verdict, what is wrong, what to do."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dbops.results import Result

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Words = Callable[[str, str], "Text"]
"""Makes text that is safe to show, in a style."""

_COLOURS = {"fail": "red", "warn": "yellow", "unknown": "magenta", "info": "cyan"}
_WRONG = ("fail", "warn", "info")
_COUNTED = ("fail", "unknown", "warn", "ok", "not_applicable")
_INDENT = 9
_MOST = 8


def is_diagnosis(result: Result) -> bool:
    """Whether this is an answer of many checks, each with findings of its own."""
    checks = getattr(result, "checks", ())
    fields = {name for check in checks for name in type(check).model_fields}
    return {"findings", "applies", "accepted", "requires"} <= fields


def write_diagnosis(result: Any, console: "Console", words: Words) -> None:  # noqa: ANN401 # by its shape
    """Write what is wrong, the worst first; then what is unknown; then all the rest."""
    counts = ", ".join(
        f"{result.counts[name]} {name.replace('_', ' ')}"
        for name in _COUNTED
        if result.counts.get(name)
    )
    verdict = words(str(result.status), _COLOURS.get(result.status, "green"))
    console.print(verdict + words(f": {counts or 'nothing was asked'}", "not bold"))
    asked = [check for check in result.checks if check.applies]
    parts = [
        *(_wrong(asked, severity, words) for severity in _WRONG),
        _unknown(asked, words),
        _accepted(asked, words),
        _notes(asked, words),
        _names(asked, result.checks, words),
    ]
    for part in parts:
        lines = list(part)
        if lines:
            console.print()
        for line, is_pasted in lines:
            _write(console, line, is_pasted=is_pasted)


Lines = Iterator[tuple["Text", bool]]
"""Lines, and whether somebody will paste them: those are not broken."""


def _write(console: "Console", line: "Text", *, is_pasted: bool) -> None:
    if is_pasted:
        console.print(line, soft_wrap=True)
        return
    from rich.padding import Padding  # noqa: PLC0415 # with rich itself

    head, body = line[:_INDENT], line[_INDENT:]
    if head.plain.strip():
        # The word stands in the margin, and what is broken stands below what is said.
        from rich.table import Table  # noqa: PLC0415 # same

        grid = Table.grid(padding=0)
        grid.add_column(width=_INDENT, no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(head, body)
        console.print(grid)
    else:
        console.print(Padding(body, (0, 0, 0, _INDENT), expand=False))


def _wrong(checks: Iterable[Any], severity: str, words: Words) -> Lines:
    for check in checks:
        grouped = _together(it for it in check.findings if it.severity == severity)
        if grouped:
            head = words(f"{severity:<{_INDENT}}", _COLOURS[severity])
            yield head + words(f"{check.id} {check.title}", "bold"), False
        for finding, where in grouped[:_MOST]:
            place = f"{finding.object}{where}"
            said = words(f"{place}: ", "") + words(finding.message, "")
            yield _indented(said, words), False
            if finding.remedy:
                yield words(f"{'':{_INDENT + 2}}{finding.remedy}", "dim"), True
        if len(grouped) > _MOST:
            more = f"and {len(grouped) - _MOST} more, which --format json shows"
            yield _indented(words(more, "dim"), words), False


def _together(findings: Iterable[Any]) -> list[tuple[Any, str]]:
    """Say once what both servers say, and where it is."""
    places: dict[tuple[str, ...], tuple[Any, list[str]]] = {}
    for it in findings:
        key = (it.object, it.message, it.remedy or "", it.database or "")
        places.setdefault(key, (it, []))[1].append(it.role or "")
    told = []
    for finding, roles in places.values():
        where = " and ".join(dict.fromkeys(role for role in roles if role))
        known = finding.database and finding.database not in finding.object
        place = " ".join(
            part
            for part in (
                f"in {finding.database}" if known else "",
                f"on {where}" if where else "",
            )
            if part
        )
        told.append((finding, f" ({place})" if place else ""))
    return told


def _unknown(checks: Iterable[Any], words: Words) -> Lines:
    """Say each reason once, and which checks it keeps from knowing."""
    reasons: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for check in checks:
        for it in check.findings:
            if it.severity == "unknown":
                key = (it.message, it.remedy or check.requires or "")
                titles, places = reasons.setdefault(key, ([], []))
                titles.append(_called(check))
                places.append(_place(it))
    for number, ((why, remedy), (titles, places)) in enumerate(reasons.items()):
        head = "unknown" if not number else ""
        line = words(f"{head:<{_INDENT}}", _COLOURS["unknown"])
        yield line + words(", ".join(dict.fromkeys(titles)), "bold"), False
        where = " and ".join(filter(None, dict.fromkeys(places)))
        yield _indented(words(f"{why} ({where})" if where else why, ""), words), False
        if remedy:
            yield words(f"{'':{_INDENT + 2}}{remedy}", "dim"), True


def _place(finding: Any) -> str:  # noqa: ANN401 # a finding
    if finding.database and finding.database == finding.object:
        return f"in {finding.database}"
    is_said = not finding.role or finding.role in finding.message
    return "" if is_said else f"on the {finding.role}"


def _accepted(checks: Iterable[Any], words: Words) -> Lines:
    said = [
        f"{check.id} {it.object}: {it.message} (because: {it.reason})"
        for check in checks
        for it in check.accepted
    ]
    for number, line in enumerate(said):
        head = words(f"{'' if number else 'accepted':<{_INDENT}}", "dim")
        yield head + words(line, ""), False


def _notes(checks: Iterable[Any], words: Words) -> Lines:
    told = [(check.id, note) for check in checks for note in check.notes]
    for number, (check_id, note) in enumerate(told):
        head = "" if number else "notes"
        yield words(f"{head:<{_INDENT}}{check_id} {note}", "dim"), False


def _names(asked: Sequence[Any], every: Sequence[Any], words: Words) -> Lines:
    good = [_called(it) for it in asked if it.status == "ok"]
    if good:
        head = words(f"{'ok':<{_INDENT}}", "green")
        yield head + words(", ".join(good), ""), False
    left_out = sum(_is_left_out(it) for it in every)
    without = [it for it in every if not it.applies and not _is_left_out(it)]
    # Who has chosen what to ask wants to hear why it is no question.
    told = [
        f"{_called(it)} {it.summary}" if left_out else _called(it) for it in without
    ]
    if left_out:
        told.append(f"{left_out} that were left out")
    if told:
        yield words(f"{'n/a':<{_INDENT}}{', '.join(told)}", "dim"), False


def _is_left_out(check: Any) -> bool:  # noqa: ANN401 # a diagnosis
    return not check.applies and check.summary.endswith("left out")


def _called(check: Any) -> str:  # noqa: ANN401 # a diagnosis
    return f"{check.id} {check.title}"


def _indented(line: "Text", words: Words) -> "Text":
    return words(" " * _INDENT, "") + line
