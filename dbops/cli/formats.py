"""In which form is it told how a command ended?"""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from dbops.cli.ended import Ended
from dbops.cli.progress import Progress
from dbops.cli.render import safe, write_problem
from dbops.cli.tell import say_problems, tell_one, tell_several
from dbops.cli.verdicts import together
from dbops.settings.model import Format

FOR_PEOPLE: Sequence[Format] = ("human", "github")
"""Forms in which steps can be shown at once."""


def tell(
    command: str,
    ends: Sequence[Ended],
    form: Format,
    *,
    are_several: bool = False,
    progress: Progress | None = None,
    exit_code: int | None = None,
) -> int:
    """Write stdout and stderr, and return the exit code.

    Each form is imported when it is asked for: a probe needs one.

    Args:
        command: Its name.
        ends: How it ended on each target, in their order.
        form: The form.
        are_several: Whether the answer is a list, also of one.
        progress: What has been said already.
        exit_code: What stopped the command; None lets the targets decide.
    """
    _write_own(ends, are_several=are_several)
    if form in FOR_PEOPLE or form == "json":
        return _told(
            command,
            ends,
            form,
            are_several=are_several,
            progress=progress,
            exit_code=exit_code,
        )
    code = together(ends) if are_several else ends[0].exit_code
    code = code if exit_code is None else exit_code
    shown = [end for end in ends if end.is_answer]
    if shown:
        text, code = _text(command, shown, form, code, are_several=are_several)
        sys.stdout.write(text)
    if form != "nagios":
        _write_problems(shown, progress, are_several=are_several)
    if progress is not None:
        progress.summarize(ends)
    return code


def _text(
    command: str, ends: Sequence[Ended], form: Format, code: int, *, are_several: bool
) -> tuple[str, int]:
    if form == "nagios":
        from dbops.cli.nagios import plugin_output  # noqa: PLC0415 # see tell

        return plugin_output(command, ends, are_several=are_several)
    if form == "prometheus":
        from dbops.cli.prometheus import exposition  # noqa: PLC0415 # same

        return exposition(command, ends, are_several=are_several), code
    from dbops.cli.junit import report  # noqa: PLC0415 # same

    return report(command, ends), code


def _told(
    command: str,
    ends: Sequence[Ended],
    form: Format,
    *,
    are_several: bool,
    progress: Progress | None,
    exit_code: int | None,
) -> int:
    quoted: AbstractContextManager[None] = nullcontext()
    if form == "github":
        from dbops.cli import github  # noqa: PLC0415 # see tell

        github.write_annotations(command, ends, are_several=are_several)
        # Findings are told by their annotations; any other answer is shown as well.
        if not are_several and github.has_findings(ends[0]):
            _write_problems(ends, None, are_several=False)
            return ends[0].exit_code
        if any(end.result is not None for end in ends):
            quoted = github.without_commands()
    with quoted:
        if not are_several:
            return tell_one(command, ends[0], as_json=form == "json")
        return tell_several(
            command,
            ends,
            as_json=form == "json",
            progress=progress,
            exit_code=exit_code,
        )


def _write_own(ends: Sequence[Ended], *, are_several: bool) -> None:
    """Hand on what operations in other processes have written themselves."""
    for end in ends:
        if end.out:
            title = f"-- target: {safe(end.target)}\n"
            sys.stdout.write(f"{title}{end.out}\n" if are_several else end.out)


def _write_problems(
    ends: Sequence[Ended], progress: Progress | None, *, are_several: bool
) -> None:
    if are_several:
        say_problems(ends, is_said=progress is not None and not progress.is_quiet)
        return
    for end in ends:
        if end.problem is not None:
            write_problem(end.problem)
