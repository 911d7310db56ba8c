"""What stands behind the pytest plugin: servers, a template, and its clones."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbops.integrations.testing.database import PairDatabase

__all__ = ["PairDatabase"]


def __getattr__(name: str) -> object:
    """Import the public name at its first use: pytest's start must not wait for it."""
    if name != "PairDatabase":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dbops.integrations.testing.database import PairDatabase  # noqa: PLC0415

    return PairDatabase
