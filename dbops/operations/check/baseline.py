"""Which differences are accepted: a file that is kept beside the code."""

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from dbops.errors import ConfigError, RefusedError
from dbops.operations.check.differences import Difference
from dbops.results import Model


class Accepted(Model):
    """One difference that somebody has accepted."""

    key: str
    """What it is known by."""
    message: str = ""
    """What it was, for whoever reads the file."""


class _Baseline(Model):
    accepted: tuple[Accepted, ...]


def read_baseline(file: Path) -> tuple[Accepted, ...]:
    """Read the accepted differences.

    Raises:
        ConfigError: If the file is missing, or is no baseline.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(
            f"the baseline {file} cannot be read: {why}",
            hint=f"write it with: dbops check --baseline {file} --accept",
            phase="settings",
        ) from error
    try:
        return TypeAdapter(_Baseline).validate_json(text).accepted
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(
            f"{file} is no baseline: {first['msg']}",
            hint=f"write it anew with: dbops check --baseline {file} --accept",
            phase="settings",
        ) from error


def write_baseline(file: Path, found: Iterable[Difference]) -> None:
    """Accept what was found, and nothing else; sorted, so that a diff of it is short.

    Raises:
        RefusedError: If the file cannot be written.
    """
    entries = {each.key: each.message for each in found}
    accepted = [{"key": key, "message": entries[key]} for key in sorted(entries)]
    try:
        file.write_text(
            json.dumps({"accepted": accepted}, indent=2, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )
    except OSError as error:
        raise RefusedError(
            f"the baseline {file} cannot be written: {error.strerror}",
            hint="choose another file, or mend its permissions",
        ) from error


def judged(
    found: Iterable[Difference], baseline: tuple[Accepted, ...]
) -> tuple[tuple[Difference, ...], tuple[Accepted, ...]]:
    """Mark what the baseline accepts, and return what in it no longer differs."""
    keys = {entry.key for entry in baseline}
    marked = tuple(
        each.model_copy(update={"accepted": each.key in keys}) for each in found
    )
    still = {each.key for each in marked}
    return marked, tuple(entry for entry in baseline if entry.key not in still)
