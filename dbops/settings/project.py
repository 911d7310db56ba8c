"""The project file: `dbops.toml`, else `[tool.dbops]` of `pyproject.toml`."""

import fnmatch
import os
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dbops.errors import ConfigError, UsageError
from dbops.settings.environment import variable
from dbops.settings.model import Settings

# Upper case, so that a password which starts with $ stays a password.
_VARIABLE = re.compile(r"\$(?:\{([A-Z_][A-Z0-9_]*)\}|([A-Z_][A-Z0-9_]*))")


class Project(NamedTuple):
    """What the project file says."""

    general: dict[str, object]
    targets: dict[str, dict[str, object]]
    source: str


def project() -> Project:
    """Read the project file of the current folder; empty where there is none.

    Raises:
        ConfigError: If it is malformed, or names a setting that does not exist.
    """
    table, path = _table()
    known = list(Settings.model_fields)
    _check_names(table, path, known=[*known, "targets"])
    targets = table.pop("targets", {})
    if not isinstance(targets, dict):
        raise _no_table(f"{path}, targets")
    for name, target in targets.items():
        _check_names(target, f"{path}, target {name}", known=known)
    return Project(table, targets, path)


def target_names(patterns: Iterable[str], said: Project | None = None) -> list[str]:
    """Return the configured targets that match, in the order of the file.

    Args:
        patterns: Names and globs.
        said: What the project file says, where it has been read already.

    Raises:
        UsageError: If a pattern matches none.
        ConfigError: If the project file is malformed.
    """
    known = list((said or project()).targets)
    patterns = list(patterns)
    for pattern in patterns:
        if not fnmatch.filter(known, pattern):
            raise unknown_target(pattern, known)
    return [
        name
        for name in known
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    ]


def unknown_target(target: str, known: Sequence[str]) -> UsageError:
    """Return the error for a target that the project file does not name."""
    return UsageError(
        f"no target is called {target!r}",
        hint=f"known targets: {', '.join(known)}"
        if known
        else "name one under [tool.dbops.targets.NAME]",
        phase="settings",
    )


def expanded(
    values: Mapping[str, object], *, besides: Container[str] = ()
) -> dict[str, object]:
    """Take `$NAME` and `${NAME}` from the environment, so that no file holds a secret.

    Args:
        values: Field name → value.
        besides: Fields that something else has said already; they are left out.

    Raises:
        ConfigError: If a variable is not set.
    """
    return {
        name: _expanded(name, value)
        for name, value in values.items()
        if name not in besides
    }


def _expanded(name: str, value: object) -> object:
    match = _VARIABLE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        # TOML's 5.0 would pass for seconds; only text can carry a unit.
        return str(value) if isinstance(value, float) else value
    wanted = match[1] or match[2]
    said = variable(wanted)
    if said is None:
        raise ConfigError(
            f"{name} is taken from {wanted}, which is not set",
            hint=f"set {wanted} in the environment",
            phase="settings",
        )
    return said


def _table() -> tuple[dict[str, Any], str]:
    # os.path.isfile, because Path.is_file raises where the folder may not be looked at.
    if os.path.isfile("dbops.toml"):  # noqa: PTH113 # see above
        return _toml(Path("dbops.toml")), "dbops.toml"
    if not os.path.isfile("pyproject.toml"):  # noqa: PTH113 # see above
        return {}, "pyproject.toml"
    tool = _toml(Path("pyproject.toml")).get("tool", {})
    table = tool.get("dbops", {}) if isinstance(tool, dict) else {}
    return table, "pyproject.toml"


def _toml(path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 # only where there is a file

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError, RecursionError):
        raise ConfigError(
            f"{path} is not valid TOML, or cannot be read",
            hint="check its syntax; the settings stand under [tool.dbops] in "
            "pyproject.toml and at the top of dbops.toml",
            phase="settings",
        ) from None


def _check_names(table: object, where: str, known: list[str]) -> None:
    if not isinstance(table, dict):
        raise _no_table(where)
    for name in table:
        if name not in known:
            from difflib import get_close_matches  # noqa: PLC0415 # rarely needed

            close = get_close_matches(name, known, n=1)
            raise ConfigError(
                f"{where} has an unknown setting {name!r}",
                hint=f"did you mean {close[0]}?" if close else "see: dbops config",
                phase="settings",
            )


def _no_table(where: str) -> ConfigError:
    return ConfigError(
        f"{where} holds no table of settings",
        hint="write NAME = value under it",
        phase="settings",
    )
