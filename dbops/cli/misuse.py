"""What is told where the words of a command line make no sense?"""

from collections.abc import Sequence
from pathlib import Path

from dbops.cli.ended import failed
from dbops.cli.formats import tell
from dbops.cli.target import DEFAULT_TARGET
from dbops.errors import UsageError
from dbops.settings import wanted_format

# typer's own classes of its errors have no public name.
_ASKS_FOR_HELP = "NoArgsIsHelpError"


def tell_misuse(command: str, words: Sequence[str], error: Exception) -> None:
    """Tell a machine what typer tells a person, and with the exit code that it knows.

    Args:
        command: As far as that much is known.
        words: The command line.
        error: The usage error that typer raised; its exit code is set.
    """
    form = wanted_format(*_said(words))
    if form == "human" or type(error).__name__ == _ASKS_FOR_HELP:
        return
    problem = UsageError(
        error.format_message(),  # type: ignore[attr-defined] # every error of typer has it
        hint="see: dbops --help",
    )
    error.exit_code = tell(command, [failed(DEFAULT_TARGET, problem)], form)  # type: ignore[attr-defined] # same


def _said(words: Sequence[str]) -> tuple[dict[str, object], list[Path]]:
    """Find the format, and where it may stand, in words that are not understood."""
    flags: dict[str, object] = {}
    files: list[Path] = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        value = value if equals else following
        if name == "--format":
            flags["format"] = value
        if name == "--env-file":
            files.append(Path(value))
    return flags, files
