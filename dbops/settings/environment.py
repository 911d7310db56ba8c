"""The environment and the files that stand in for it: the only reader of both."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from dbops.errors import ConfigError
from dbops.settings.model import Settings, env_name, env_names, fields_by_key

Said = tuple[dict[str, object], str]
"""Field name → value as text, and the source that said so."""


def environment() -> Said:
    """Return what the process environment says.

    Raises:
        ConfigError: If a value is not UTF-8 text.
    """
    return _known(EnvSettingsSource(Settings)(), "environment"), "environment"


def files(env_files: Sequence[Path], notices: list[str]) -> Iterator[Said]:
    """Return what each env file says, the first wins; `.env` comes last.

    Raises:
        ConfigError: If a file that was asked for is missing, or cannot be read.
    """
    for path in env_files:
        if not os.path.isfile(path):  # noqa: PTH113 # unlike Path, it raises nothing
            raise ConfigError(
                f"the env file {path} does not exist",
                hint="give --env-file an existing file",
                phase="settings",
            )
        yield _read(path), str(path)
    if not os.path.isfile(".env"):  # noqa: PTH113 # same
        return
    for name in ("CI", "KUBERNETES_SERVICE_HOST"):
        if variable(name) not in (None, "false", "0"):
            notices.append(f".env is not read because {name} is set")
            return
    notices.append("settings are read from .env")
    yield _read(Path(".env")), ".env"


def variable(name: str) -> str | None:
    """Return a variable of the process; None where it is missing or empty."""
    return os.environ.get(name) or None


def child_environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with `variables` in it, for a child."""
    return {**os.environ, **variables}


def is_libpq_told_more() -> bool:
    """Tell whether libpq finds more in the environment than it is given as arguments.

    https://www.postgresql.org/docs/current/libpq-envars.html
    """
    names = ("OPTIONS", "SERVICE", "SERVICEFILE", "HOSTADDR", "TARGETSESSIONATTRS")
    return any(variable(f"PG{name}") for name in (*names, "PORT"))


def misspelt() -> list[str]:
    """Return a notice for every DBOPS_* variable that no setting has."""
    ours = [name for name in os.environ if name.upper().startswith("DBOPS_")]
    if not ours:
        return []
    known = {name for field in Settings.model_fields for name in env_names(field)}
    return [
        f"{name} is set, but dbops knows no such setting{_did_you_mean(name, known)}"
        for name in sorted(ours)
        if name.upper() not in known
    ]


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 # rarely needed

    wanted = name.upper()
    close = get_close_matches(wanted, known, n=1) or get_close_matches(
        wanted.removeprefix("DBOPS_"), known, n=1
    )
    return f"; did you mean {close[0]}?" if close else ""


def _read(path: Path) -> dict[str, object]:
    try:
        return _known(DotEnvSettingsSource(Settings, env_file=path)(), str(path))
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"the env file {path} cannot be read as UTF-8 text",
            hint="it holds lines of NAME=value",
            phase="settings",
        ) from None


def _known(values: Mapping[str, object], source: str) -> dict[str, object]:
    fields = fields_by_key()
    known = {fields[key]: value for key, value in values.items() if key in fields}
    for name, value in known.items():
        # Bytes that are no UTF-8 come out of os.environ as lone surrogates.
        if isinstance(value, str) and not _is_utf8(value):
            raise ConfigError(
                f"{env_name(name)} from {source} is not UTF-8 text",
                hint="write it in UTF-8",
                phase="settings",
            )
    return known


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
