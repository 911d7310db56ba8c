"""Where are a project's revisions and its env.py? Read without Alembic.

https://alembic.sqlalchemy.org/en/latest/tutorial.html#editing-the-ini-file
"""

import os
import re
import tomllib
from collections.abc import Mapping
from configparser import ConfigParser
from pathlib import Path
from typing import NamedTuple

from dbops.operations.migrate.at_head.unsure import UnsureError

_SEPARATORS = {"space": " ", "newline": "\n", "os": os.pathsep, ":": ":", ";": ";"}
_LEGACY_SEPARATOR = re.compile(r", *|(?: +)")


class ConfigText(NamedTuple):
    """What alembic.ini and pyproject.toml say."""

    env_file: Path
    version_folders: tuple[Path, ...]
    is_recursive: bool
    options: Mapping[str, str]
    """The section of the ini file; empty without one."""


class _Files(NamedTuple):
    ini: Path | None
    toml: Path | None


def read_config(config_file: str | None, section: str) -> ConfigText:
    """Read a project's configuration as Alembic would.

    Args:
        config_file: As `Project` takes it.
        section: The section of the ini file.

    Raises:
        UnsureError: If Alembic might read it in another way.
        Exception: Whatever reading or parsing raises.
    """
    files = _files(config_file)
    options = _ini_options(files.ini, section) if files.ini else {}
    table = _toml_options(files.toml) if files.toml else {}
    location = options.get("script_location", table.get("script_location"))
    if not isinstance(location, str) or not location:
        raise UnsureError("no script_location")
    if _flag(options, table, "sourceless"):
        raise UnsureError("sourceless")
    folder = _folder(location)
    folders = _version_locations(options, table) or (f"{folder}/versions",)
    return ConfigText(
        env_file=folder / "env.py",
        version_folders=tuple(_folder(each) for each in folders),
        is_recursive=_flag(options, table, "recursive_version_locations"),
        options=options,
    )


def _files(given: str | None) -> _Files:
    """Return the files that are read, where nobody reads others.

    Alembic looks for the file that is not named in the current folder, `Project`
    beside the one that is.
    """
    if given is None:
        ini, toml = Path("alembic.ini"), Path("pyproject.toml")
        return _Files(ini if ini.is_file() else None, toml if _says(toml) else None)
    path = Path(given)
    if not path.is_file():
        raise UnsureError("no such file")
    other = "alembic.ini" if path.suffix == ".toml" else "pyproject.toml"
    beside, here = path.with_name(other), Path(other)
    found = _says(beside)
    if _says(here) and not (found and beside.samefile(here)):
        raise UnsureError("a file here, and another there")
    if path.suffix == ".toml":
        return _Files(beside if found else None, path)
    return _Files(path, beside if found else None)


def _says(path: Path) -> bool:
    """Tell whether a file says something about Alembic."""
    return path.is_file() and (path.suffix == ".ini" or bool(_toml_table(path)))


def _ini_options(path: Path, section: str) -> Mapping[str, str]:
    parser = ConfigParser({"here": path.absolute().parent.as_posix()})
    parser.read([path], encoding="locale")
    return dict(parser.items(section))


def _toml_options(path: Path) -> Mapping[str, object]:
    """Return `[tool.alembic]`, with `%(here)s` filled in."""
    here = {"here": path.absolute().parent.as_posix()}

    def filled(value: object) -> object:
        if isinstance(value, list):
            return [filled(each) for each in value]
        return value % here if isinstance(value, str) else value

    return {name: filled(value) for name, value in _toml_table(path).items()}


def _toml_table(path: Path) -> Mapping[str, object]:
    text = path.read_text("utf-8")
    if "alembic" not in text:
        return {}
    table: Mapping[str, object] = tomllib.loads(text).get("tool", {}).get("alembic", {})
    return table


def _flag(options: Mapping[str, str], table: Mapping[str, object], name: str) -> bool:
    if name in options:
        return options[name] == "true"
    value = table.get(name, False)
    if not isinstance(value, bool):
        raise UnsureError(name)
    return value


def _version_locations(
    options: Mapping[str, str], table: Mapping[str, object]
) -> tuple[str, ...]:
    """Split `version_locations`; empty for the default."""
    text = options.get("version_locations")
    if not text:
        listed = table.get("version_locations") or []
        if not isinstance(listed, list) or not all(
            isinstance(each, str) for each in listed
        ):
            raise UnsureError("version_locations")
        return tuple(listed)
    name = options.get("path_separator", options.get("version_path_separator"))
    if name is None:
        return tuple(_LEGACY_SEPARATOR.split(text))
    return tuple(each.strip() for each in text.split(_SEPARATORS[name]) if each)


def _folder(location: str) -> Path:
    """Return a folder; a name with a colon would be a place inside a package."""
    if not location or (not location.startswith("/") and ":" in location):
        raise UnsureError("not a folder")
    return Path(location).absolute()
