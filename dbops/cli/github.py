"""Any result as annotations of a GitHub workflow.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

import secrets
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dbops.cli.ended import Ended
from dbops.cli.render import safe
from dbops.cli.verdicts import verdicts
from dbops.results import Checked, Problem, Result, Status

_TITLE = "dbops"


def write_annotations(
    command: str, ends: Iterable[Ended], *, are_several: bool = False
) -> None:
    """Write the annotations of every target."""
    for end in ends:
        title = f"{_TITLE} {command}" + (f" ({end.target})" if are_several else "")
        if has_findings(end):
            lines = annotations(command, end.result, end.problem, title=title)
        else:
            found = _of_verdicts(title, command, verdicts(command, end))
            lines = "".join(f"{line}\n" for line in found)
        sys.stdout.write(lines)


def has_findings(end: Ended) -> bool:
    """Whether its findings say all there is to say."""
    return hasattr(end.result, "findings")


@contextmanager
def without_commands() -> Iterator[None]:
    """Let the runner take what is written meanwhile for text.

    A line that a name in a database begins could be a command otherwise.
    """
    token = secrets.token_hex(16)
    sys.stdout.write(f"::stop-commands::{token}\n")
    try:
        yield
    finally:
        sys.stdout.write(f"::{token}::\n")


def annotations(
    command: str,
    result: Result | None,
    problem: Problem | None,
    *,
    title: str | None = None,
) -> str:
    """Return a line for each finding and for what went wrong.

    Args:
        command: Its name.
        result: Its answer; findings with a `path` are shown beside that line.
        problem: Why there is no whole answer.
        title: What stands above; the command by default.
    """
    title = title or f"{_TITLE} {command}"
    lines = list(_of_findings(title, getattr(result, "findings", ())))
    if problem is not None:
        text = f"{problem.message}. {problem.hint}" if problem.hint else problem.message
        lines.append(_line("error", text, title=title))
    return "".join(f"{line}\n" for line in lines)


def _of_verdicts(title: str, command: str, found: Sequence[Checked]) -> Iterator[str]:
    """Annotate what is not good; what was not asked is no finding."""
    for it in found:
        if it.status is Status.OK or (
            it.is_skipped and it.status is not Status.UNKNOWN
        ):
            continue
        said = [safe(line) for line in (it.summary, *it.details)]
        text = (". " if len(said) == 2 else "\n").join(said)  # noqa: PLR2004 # and a hint
        kind = "warning" if it.status is Status.WARN else "error"
        yield _line(
            kind, text, title=title if it.id == command else f"{title}: {it.id}"
        )


def _of_findings(title: str, findings: tuple[Any, ...]) -> Iterator[str]:
    for finding in findings:
        severity = getattr(finding, "severity", "fail")
        rule = getattr(finding, "rule", None) or getattr(finding, "object", None)
        text = finding.message
        if finding.remedy:
            text = f"{text}. Instead: {finding.remedy}"
        yield _line(
            "error" if severity == "fail" else "warning",
            text,
            file=getattr(finding, "path", None),
            line=getattr(finding, "path_line", None),
            title=f"{title}: {rule}" if rule else title,
        )


def _line(kind: str, text: str, **properties: object) -> str:
    said = {name: value for name, value in properties.items() if value is not None}
    if "file" not in said:
        said.pop("line", None)
    listed = ",".join(f"{name}={_property(str(value))}" for name, value in said.items())
    return f"::{kind} {listed}::{_text(text)}"


def _text(text: str) -> str:
    """Escape as the runner's own toolkit does; one annotation is one line."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "%0A".join(safe(line).replace("%", "%25") for line in lines)


def _property(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
