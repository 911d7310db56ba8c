"""One target of a command."""

from typing import NamedTuple

from dbops.cli.ended import Ended
from dbops.settings import Settings

DEFAULT_TARGET = "default"


class Target(NamedTuple):
    """One target of a command."""

    name: str
    settings: Settings
    ended: Ended | None = None
    """Why it need not be begun; None where it has to be."""
