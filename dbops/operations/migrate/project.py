"""An Alembic project: its configuration, its revisions, its env.py.

https://alembic.sqlalchemy.org/en/latest/api/index.html
"""

import asyncio
import configparser
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from dbops.endpoint import Address, Endpoint, parse_url
from dbops.errors import ConfigError
from dbops.operations.migrate.revisions import readable

# Alembic installs the environment that runs as module globals, so that two at once
# would send one's DDL to the other's database.
_ONE_AT_A_TIME = threading.Lock()

# What Alembic's own templates put where the URL belongs.
_PLACEHOLDER = "driver://"

Steps = Callable[[Any, MigrationContext], Any]
"""What Alembic asks for the revisions to apply: (current revisions, context) → them."""


class Project:
    """An Alembic project.

    Args:
        config_file: Its alembic.ini, or a pyproject.toml with `[tool.alembic]`; None
            for the one in the current folder.
        section: The section of the ini file.
        x_arguments: `KEY=VALUE`, as after Alembic's `-x`.

    Raises:
        ConfigError: If there is no such file, or it leads to no revisions.
    """

    def __init__(
        self,
        config_file: str | None = None,
        *,
        section: str = "alembic",
        x_arguments: Sequence[str] = (),
    ) -> None:
        self.config_file = config_file
        self.section = section
        self.x_arguments = tuple(x_arguments)
        path = _config_path(config_file)
        # Alembic reads both, the ini for logging and the URL.
        ini, toml = path.with_name("alembic.ini"), path.with_name("pyproject.toml")
        ini, toml = (ini, path) if path.suffix == ".toml" else (path, toml)
        self.config = Config(
            str(ini) if ini.is_file() else None,
            toml_file=str(toml) if toml.is_file() else None,
            ini_section=section,
            cmd_opts=Namespace(x=list(x_arguments) or None),
            stdout=sys.stdout,  # Alembic's own is that of the time of its import
        )
        try:
            self.script = ScriptDirectory.from_config(self.config)
            url = self.config.get_main_option("sqlalchemy.url") or _PLACEHOLDER
        except CommandError as error:
            raise ConfigError(
                f"{path} leads to no Alembic environment: {error}",
                hint="check script_location, or make one with: dbops init",
                phase="settings",
            ) from error
        except KeyError:
            raise ConfigError(
                f"{path} has no section [{section}]", phase="settings"
            ) from None
        except configparser.Error as error:
            # What it says holds a part of the URL.
            raise ConfigError(
                f"{path} cannot be read: {type(error).__name__}",
                hint="a % in it is written %%, and a section or an option named once",
                phase="settings",
            ) from None
        self._env = Path(self.script.env_py_location)
        self.endpoint = None if url.startswith(_PLACEHOLDER) else _endpoint(url)
        """The database that the configuration itself names; None when it names none."""

        self.borrows = False
        """Whether env.py has been seen to need a connection that it is lent."""

    @property
    def heads(self) -> tuple[str, ...]:
        """The newest revisions in the project."""
        with readable():
            return tuple(sorted(self.script.get_heads()))

    def has(self, revision: str) -> bool:
        """Tell whether a revision is called exactly so."""
        try:
            with readable():
                found = self.script.get_revision(revision)
        except CommandError:
            return False
        return found.revision == revision

    @property
    def is_async(self) -> bool:
        """Whether env.py makes an asyncio engine of its own."""
        source = self._env.read_text(encoding="utf-8", errors="replace")
        return "async_engine" in source or "AsyncEngine" in source


class Turn:
    """Waits, without blocking, for Alembic to be free: it runs one env.py at a time."""

    async def __aenter__(self) -> None:
        """Wait for our turn."""
        while not _ONE_AT_A_TIME.acquire(blocking=False):
            await asyncio.sleep(0.01)

    async def __aexit__(self, *_: object) -> None:
        """Let the next one run."""
        _ONE_AT_A_TIME.release()


def _endpoint(url: str) -> Endpoint:
    """Read the project's own URL, as far as it is one of ours: for messages alone."""
    try:
        return parse_url(url)
    except ConfigError:
        return Endpoint(addresses=(Address("the project's own database"),))


def _config_path(given: str | None) -> Path:
    if given is not None:
        path = Path(given)
        if path.is_file():
            return path
        raise ConfigError(
            f"the Alembic configuration {given} does not exist",
            hint="give -c an existing alembic.ini",
            phase="settings",
        )
    for path in (Path("alembic.ini"), Path("pyproject.toml")):
        if path.is_file() and (
            path.suffix == ".ini" or "[tool.alembic]" in path.read_text("utf-8")
        ):
            return path
    raise ConfigError(
        "there is no alembic.ini in this folder",
        hint="name one with -c, or make a project with: dbops init",
        phase="settings",
    )
