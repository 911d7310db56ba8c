"""What is said about the database of a test that failed?"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dbops.integrations.testing.database import PairDatabase

MOST = 20
"""So many databases of failed tests are kept, the last ones."""

_TITLE = "databases of failed tests"


def section(database: "PairDatabase", keep_as: str | None) -> tuple[str, str]:
    """Return the section of a failed test's report: its title and its text."""
    until = (
        f"kept; its servers are stopped by: {_down(keep_as)}"
        if keep_as
        else "kept until the run ends; to look at it afterwards: pytest --dbops-keep"
    )
    return "dbops database", f"{database.name}\n{database.psql}\n{until}"


def noted(
    report: pytest.TestReport, database: "PairDatabase", keep_as: str | None
) -> None:
    """Note in a report which database was kept; xdist carries it to the terminal."""
    report.sections.append(section(database, keep_as))
    report.dbops_kept = [database.name, database.psql, keep_as or ""]  # type: ignore[attr-defined] # reports carry what plugins add


def summed_up(
    reporter: "pytest.TerminalReporter", reports: Iterable[pytest.TestReport]
) -> None:
    """Write which databases were kept, and how to get at them.

    Args:
        reporter: Where to.
        reports: Those that `noted` has noted something in.
    """
    pairs = set()
    reporter.section(_TITLE)
    for report in reports:
        name, psql, keep_as = report.dbops_kept
        reporter.write_line(f"{report.nodeid}: {psql if keep_as else name}")
        pairs.add(keep_as)
    for line in _ends(sorted(pairs)):
        reporter.write_line(line)


def _ends(pairs: Iterable[str]) -> Iterable[str]:
    for name in pairs:
        if name:
            yield f"their servers are still running; stop them with: {_down(name)}"
        else:
            yield "they ended with their servers; to keep them: pytest --dbops-keep"


def _down(name: str) -> str:
    return f"dbops local down --name {name}"
