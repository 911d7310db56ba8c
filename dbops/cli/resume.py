"""What has an earlier run done already, by its report?"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbops.cli.ended import Ended
from dbops.errors import UsageError


def done_earlier(path: Path, command: str) -> dict[str, Ended]:
    """Read a report of several targets and return those that it calls done.

    Args:
        path: What `--format json` wrote.
        command: The command that goes on; the report has to be of the same.

    Raises:
        UsageError: If it cannot be read, or is no such report.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise UsageError(
            f"the report {path} cannot be read: {why}", hint=_HINT
        ) from error
    if not isinstance(report, dict) or not isinstance(report.get("targets"), list):
        raise UsageError(f"{path} is no report of several targets", hint=_HINT)
    if report.get("command") != command:
        raise UsageError(
            f"{path} is a report of {report.get('command')!r}, not of {command!r}",
            hint=_HINT,
        )
    return {it["target"]: _again(it) for it in report["targets"] if _is_done(it)}


_HINT = "give --resume what an earlier run wrote to stdout with --format json"


def _is_done(document: object) -> bool:
    return (
        isinstance(document, dict)
        and isinstance(document.get("target"), str)
        and document.get("exit_code") == 0
    )


def _again(document: Mapping[str, Any]) -> Ended:
    return Ended(document["target"], 0, earlier=document)
