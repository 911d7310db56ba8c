"""What stdout and stderr say at the end, and the exit code."""

import sys
from collections.abc import Sequence

from dbops.cli.ended import Ended
from dbops.cli.progress import Progress, brief
from dbops.cli.render import (
    write_human,
    write_json,
    write_notice,
    write_problem,
)
from dbops.cli.verdicts import together
from dbops.results import Model, Result, Status, worst

# So many results can still be read one below the other.
_FEW = 4


class Row(Model):
    """One target of many."""

    target: str
    """What it is called."""
    status: Status
    """Its verdict; unknown where it was not begun."""
    outcome: str
    """What was done, or what went wrong."""
    took_s: float | None
    """How long it took."""


class Overview(Result):
    """Many targets, a row each."""

    targets: tuple[Row, ...]
    """In their order."""


def tell_one(command: str, ended: Ended, *, as_json: bool) -> int:
    """Show how a command ended on its only target, and return the exit code."""
    if as_json:
        if ended.is_answer:
            write_json(ended.document(command), sys.stdout)
        return ended.exit_code
    if ended.result is not None:
        write_human(ended.result, sys.stdout)
    if ended.problem is not None:
        write_problem(ended.problem)
    return ended.exit_code


def tell_several(
    command: str,
    ended: Sequence[Ended],
    *,
    as_json: bool,
    progress: Progress | None = None,
    exit_code: int | None = None,
) -> int:
    """Show how a command ended on each of its targets, and return the exit code.

    Args:
        command: Its name.
        ended: The targets, in their order.
        as_json: Whether one document is wanted.
        progress: What has been said already.
        exit_code: What stopped the command; None lets the targets decide.
    """
    if exit_code is None:
        exit_code = together(ended)
    if as_json:
        documents = [end.document(command) for end in ended if end.is_answer]
        statuses = [end.result.status for end in ended if end.result is not None]
        status = worst(statuses) if exit_code == 0 else Status.FAIL
        whole = {"command": command, "status": str(status), "exit_code": exit_code}
        write_json({**whole, "targets": documents}, sys.stdout)
    else:
        _show(ended, are_few=len(ended) <= _FEW)
        say_problems(ended, is_said=progress is not None and not progress.is_quiet)
    if progress is not None:
        progress.summarize(ended)
    return exit_code


def _show(ended: Sequence[Ended], *, are_few: bool) -> None:
    if are_few:
        for end in ended:
            if end.result is not None:
                write_human(end.result, sys.stdout, title=end.target)
        return
    rows = tuple(_row(end) for end in ended if end.is_answer)
    if rows:
        status = worst(row.status for row in rows)
        write_human(Overview(status=status, targets=rows), sys.stdout)


def _row(end: Ended) -> Row:
    if end.is_skipped:
        status = Status.UNKNOWN
    elif end.result is not None:
        status = end.result.status
    else:
        status = Status.OK if end.exit_code == 0 else Status.FAIL
    return Row(
        target=end.target,
        status=status,
        outcome=brief(end),
        took_s=None if end.took_s is None else round(end.took_s, 3),
    )


def say_problems(ended: Sequence[Ended], *, is_said: bool) -> None:
    """Say what went wrong where progress has not, and each hint once."""
    problems = [(end.target, end.problem) for end in ended if end.problem is not None]
    if not is_said:
        for target, problem in problems:
            write_notice(f"error: {target}: {problem.message}")
    for hint in dict.fromkeys(problem.hint for _, problem in problems):
        if hint:
            write_notice(f"hint: {hint}")
