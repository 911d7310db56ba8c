"""One command as it was called, and what its operation may use."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dbops.credentials import SecretStore
from dbops.engine.connect import Connectors
from dbops.results import Result
from dbops.settings import Aws, Settings

if TYPE_CHECKING:
    from dbops.operations.migrate.project import Project
    from dbops.settings.model import WaitFor


@dataclass(slots=True)
class Call:
    """One command on one target: what the operation may use."""

    settings: Settings
    say: Callable[[str], None]
    """Writes a line of progress to stderr."""
    show: Callable[[str, Result], bool]
    """Shows a step's result at once to a person; False where nobody reads along."""
    stores: dict[Aws, SecretStore] = field(default_factory=dict)
    """The secrets that other targets of the same command have asked for."""
    target: str = "default"
    """What the user calls the target."""
    is_one_of_many: bool = False
    """Whether the same command runs on other targets too."""
    was_scanned: bool = False
    """Whether the quick way has been tried already, in vain."""
    _connectors: list[Connectors] = field(default_factory=list)

    @property
    def connectors(self) -> Connectors:
        """How to connect to every role, made at the first use."""
        if not self._connectors:
            self._connectors.append(Connectors(self.settings, stores=self.stores))
        return self._connectors[0]

    @property
    def project(self) -> "Project":
        """The Alembic project that the settings name.

        Raises:
            ConfigError: If there is none.
        """
        from dbops.operations.migrate.project import Project  # noqa: PLC0415 # not for a probe

        settings = self.settings
        return Project(
            settings.alembic_config,
            section=settings.alembic_section,
            x_arguments=settings.alembic_x,
        )


Operation = Callable[[Call], Awaitable[Result | int]]
"""Returns a result; or the exit code, where it owns stdout itself."""


Quick = Callable[[Call], Awaitable[Result | None]]
"""Answers at once where the answer is certain, and with None anywhere else."""


class Command(NamedTuple):
    """A command as it was called."""

    name: str
    operation: Operation
    flags: Mapping[str, Any]
    env_files: Sequence[Path] = ()
    waits_for: "WaitFor | None" = None
    """What `--wait` waits for before the operation."""
    startup_s: float = 0.0
    """What starting up has cost of the time that the command may take."""
    uses_local_pair: bool = True
    """Whether a running local pair stands in for missing settings."""
    takes_targets: bool = True
    """Whether the settings may name several targets for it."""
    errand: "Errand | None" = None
    """The same for another process; None where one process serves all targets."""
    quick: "Quick | None" = None
    """What is tried first, because it is much faster."""
    is_check: bool = False
    """Whether the user may say which answers are bad, and to ask again."""
    is_single: bool = False
    """Whether it can show one target and no more."""


class Errand(NamedTuple):
    """An operation as another process finds it: it runs env.py, and one at a time."""

    body: str
    """`module:name` of the coroutine."""
    own: Mapping[str, Any]
    """What it takes besides the call."""
