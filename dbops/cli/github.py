"""Any result as annotations of a GitHub workflow.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from dbops.cli.ended import Ended
from dbops.cli.render import write_human, write_problem
from dbops.results import Problem, Result

_TITLE = "dbops"


def tell_one(command: str, ended: Ended) -> int:
    """Show how a command ended on its only target, and return the exit code."""
    sys.stdout.write(ended.out)
    write_annotations(command, [ended])
    # Findings are told by their annotations; any other answer has no form of its own.
    if ended.result is not None and not hasattr(ended.result, "findings"):
        write_human(ended.result, sys.stdout)
    if ended.problem is not None:
        write_problem(ended.problem)
    return ended.exit_code


def write_annotations(command: str, ended: Iterable[Ended]) -> None:
    """Write the annotations of every target."""
    for end in ended:
        sys.stdout.write(annotations(command, end.result, end.problem))


def annotations(command: str, result: Result | None, problem: Problem | None) -> str:
    """Return a line for each finding and for what went wrong.

    Args:
        command: Its name.
        result: Its answer; findings with a `path` are shown beside that line.
        problem: Why there is no whole answer.
    """
    lines = list(_of_findings(command, getattr(result, "findings", ())))
    if problem is not None:
        text = f"{problem.message}. {problem.hint}" if problem.hint else problem.message
        lines.append(_line("error", text, title=f"{_TITLE} {command}"))
    return "".join(f"{line}\n" for line in lines)


def _of_findings(command: str, findings: tuple[Any, ...]) -> Iterator[str]:
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
            title=f"{_TITLE} {command}: {rule}" if rule else f"{_TITLE} {command}",
        )


def _line(kind: str, text: str, **properties: object) -> str:
    said = {name: value for name, value in properties.items() if value is not None}
    if "file" not in said:
        said.pop("line", None)
    listed = ",".join(f"{name}={_property(str(value))}" for name, value in said.items())
    return f"::{kind} {listed}::{_text(text)}"


def _text(text: str) -> str:
    """Escape as the runner's own toolkit does; one annotation is one line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
