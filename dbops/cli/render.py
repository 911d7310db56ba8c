"""Any result as text for a person or as one JSON document."""

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from dbops.results import Problem, Result

if TYPE_CHECKING:
    from rich.text import Text

_WIDTH_OF_A_PIPE = 160


def safe(text: str) -> str:
    r"""Write every character that is not printable as `\xNN`.

    Names in a database may hold escape sequences that would drive the terminal.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def document(
    command: str,
    target: str,
    *,
    exit_code: int,
    result: Result | None,
    problem: Problem | None,
) -> dict[str, Any]:
    """Return the JSON document of one command on one target."""
    error = problem.model_dump(mode="json", exclude={"outcome"}) if problem else None
    return {
        "command": command,
        "target": target,
        "status": str(result.status) if result else None,
        "exit_code": exit_code,
        "error": error,
        "result": result.model_dump(mode="json") if result else None,
    }


def write_json(value: Mapping[str, Any], stream: TextIO) -> None:
    """Write one document on one line; ASCII, so that no name can drive a terminal."""
    stream.write(json.dumps(value) + "\n")
    stream.flush()


def write_human(result: Result, stream: TextIO, *, title: str | None = None) -> None:
    """Write a result as text, coloured on a terminal."""
    # Imported here: it takes as long as connecting, and JSON does without.
    from dbops.cli.diagnosis import is_diagnosis, write_diagnosis  # noqa: PLC0415
    from dbops.cli.layout import COLOURS, Layout, Paper  # noqa: PLC0415 # same

    console = Paper(
        file=stream,
        highlight=False,
        width=None if stream.isatty() else _WIDTH_OF_A_PIPE,
        soft_wrap=False,
    )
    if title is not None:
        console.print()
        console.print(_text(title, "bold"))
    if is_diagnosis(result):
        write_diagnosis(result, console, _text)
        return
    console.print(_text(str(result.status), COLOURS[result.status]))
    summary = getattr(result, "summary", None)
    if isinstance(summary, str):
        console.print(_text(summary))
    for part in Layout(_text, besides=("summary",)).parts(result):
        console.print(part)


def write_notice(text: str) -> None:
    """Say something on stderr that is no part of the result."""
    sys.stderr.write(f"{safe(text)}\n")
    sys.stderr.flush()


def write_problem(problem: Problem) -> None:
    """Say on stderr what went wrong and what to do about it."""
    write_notice(f"error: {problem.message}")
    if problem.hint:
        write_notice(f"hint: {problem.hint}")


def _text(text: str, style: str = "") -> "Text":
    from rich.text import Text  # noqa: PLC0415 # with rich itself

    # Text, so that nothing in it is read as markup.
    return Text(safe(text), style=style)
