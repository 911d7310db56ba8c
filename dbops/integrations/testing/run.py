"""What does a test run know of itself that fixtures and hooks share?"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dbops.integrations.testing.database import PairDatabase

OPEN: pytest.StashKey["PairDatabase"] = pytest.StashKey()
"""In a test: its database, until that is kept."""

KEPT = pytest.StashKey[int]()
"""In the run's configuration: how many databases of failed tests are kept."""


def keep_as(config: pytest.Config) -> str | None:
    """Return the name of the local pair that is to stay; None if none is."""
    if not config.getoption("dbops_keep"):
        return None
    worker = getattr(config, "workerinput", {}).get("workerid")
    return f"pytest-{worker}" if worker else "pytest"
