"""From all sources to one Settings: what was said first wins."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from pydantic import ValidationError

from dbops.errors import ConfigError, DbopsError, UsageError
from dbops.settings.environment import (
    Said,
    environment,
    files,
    misspelt,
    variable,
)
from dbops.settings.model import Format, Settings, env_name, fields_by_key
from dbops.settings.project import Project, expanded, project, unknown_target

LocalPair = Callable[[], Mapping[str, object] | None]

_PLACES = frozenset(
    name
    for name in Settings.model_fields
    if name.startswith(("database_", "db_")) or name == "auth"
)
"""Fields that say where a database is; a named target replaces them as a whole."""


class Heard(NamedTuple):
    """What the project file, the environment and the env files say."""

    project: Project
    said: tuple[Said, ...]
    """The environment, then the files; the first wins."""
    notices: tuple[str, ...]


class _Layers:
    """Values with their sources; what was said first wins."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.sources: dict[str, str] = {}
        self.notices: list[str] = []
        self._is_placed = False

    def add(self, values: Mapping[str, object], source: str) -> None:
        for name, value in values.items():
            if name not in self.values and name not in self.closed:
                self.values[name] = value
                self.sources[name] = source

    def close_place(self) -> None:
        """Let no lower source add to a place that has been given as a whole."""
        self._is_placed = not _PLACES.isdisjoint(self.values)

    @property
    def closed(self) -> frozenset[str]:
        """Fields that a lower source cannot say any more."""
        return _PLACES if self._is_placed else frozenset()


def load_settings(
    *,
    target: str | None = None,
    env_files: Sequence[Path] = (),
    flags: Mapping[str, object] | None = None,
    local_pair: LocalPair | None = None,
    heard: Heard | None = None,
) -> Settings:
    """Read every source once and return the settings.

    Args:
        target: A name under `[tool.dbops.targets]`; its place replaces the one that
            the environment says.
        env_files: Files of `NAME=value` lines, the first wins.
        flags: Field name → value from the command line; they win over everything, and
            a place among them replaces the one that the environment says.
        local_pair: Where a running local pair is; asked only when nothing else says
            where a database is.
        heard: What `listen` has read already, for programs of many targets.

    Raises:
        ConfigError: If a file is missing or malformed, or a value has the wrong form;
            the message names the setting and its source, never the value.
        UsageError: If a flag has the wrong form or the target is unknown.
    """
    layers = _Layers()
    layers.add(flags or {}, "flag")
    heard = heard or listen(env_files)
    said = heard.project
    if target is not None:
        layers.add(_target(said, target), f"target {target}")
    layers.close_place()
    for values, source in heard.said:
        layers.add(values, source)
    settled = layers.values.keys() | layers.closed
    layers.add(expanded(said.general, besides=settled), said.source)
    layers.notices += heard.notices
    _add_local_pair(layers, local_pair)
    layers.notices += misspelt()
    return _validated(layers)


def listen(env_files: Sequence[Path] = ()) -> Heard:
    """Read the environment and every file, once for all targets.

    Raises:
        ConfigError: As `load_settings`.
    """
    notices: list[str] = []
    said = project()
    return Heard(said, (environment(), *files(env_files, notices)), tuple(notices))


def wanted_format(
    flags: Mapping[str, object], env_files: Sequence[Path] = ()
) -> Format:
    """Return the format of the answer, also where the settings cannot be loaded."""
    try:
        said = flags.get("format") or _said_format(env_files)
    except Exception:  # noqa: BLE001 # load_settings says what is wrong; this must answer
        said = None
    for known in get_args(Format):
        if said == known:
            return known  # type: ignore[no-any-return] # get_args is untyped
    return "human"


def _said_format(env_files: Sequence[Path]) -> object:
    if said := variable("DBOPS_FORMAT"):
        return said
    for values, _ in files(env_files, []):
        if "format" in values:
            return values["format"]
    return project().general.get("format")


def _target(said: Project, target: str) -> dict[str, object]:
    if target not in said.targets:
        raise unknown_target(target, list(said.targets))
    return expanded(said.targets[target])


def _add_local_pair(layers: _Layers, local_pair: LocalPair | None) -> None:
    if local_pair is None or _PLACES - {"db_name"} & layers.values.keys():
        return
    place = local_pair()
    if place is not None:
        layers.notices.append("no database is configured: using the local pair")
        layers.add(place, "local pair")


def _validated(layers: _Layers) -> Settings:
    try:
        settings = Settings(**layers.values)  # type: ignore[arg-type] # checked there
    except ValidationError as error:
        raise _malformed(error, layers.sources) from None
    settings._sources.update(layers.sources)  # noqa: SLF001 # this package's own model
    settings._notices = tuple(layers.notices)  # noqa: SLF001 # same
    return settings


def _malformed(error: ValidationError, sources: Mapping[str, str]) -> DbopsError:
    """Say which setting has the wrong form, never its value: it may be a secret."""
    detail = error.errors(include_input=False, include_context=False, include_url=False)
    key = str(detail[0]["loc"][0])
    field = fields_by_key().get(key, key)
    source = sources.get(field, "?")
    hint = detail[0]["msg"].removeprefix("Value error, ")
    if source == "flag":
        option = "--" + field.replace("_", "-")
        return UsageError(f"{option} has the wrong form", hint=hint, phase="settings")
    return ConfigError(
        f"{env_name(field)} from {source} has the wrong form",
        hint=hint,
        phase="settings",
    )
