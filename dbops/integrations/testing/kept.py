"""What becomes of the database of a test that failed, and what is said about it?"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

from dbops.integrations.testing.run import KEPT, OPEN, keep_as

if TYPE_CHECKING:
    from dbops.integrations.testing.database import PairDatabase

# A run in which everything fails must not fill a disk.
_MOST = 20
_SECTION = "dbops database"
_TITLE = "databases of failed tests"


def keep(item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep the database of a failed test, and note it in its report.

    Args:
        item: The test.
        report: Of its setup or its call; xdist carries it to the terminal.
    """
    database, name = item.stash[OPEN], keep_as(item.config)
    count = item.config.stash.get(KEPT, 0)
    if count == _MOST:
        said = f"dropped: the {_MOST} of the tests that failed first are kept"
        report.sections.append((_SECTION, f"{database.name}\n{said}"))
        return
    item.config.stash[KEPT] = count + 1
    del item.stash[OPEN]
    report.sections.append((_SECTION, _text(database, name)))
    report.dbops_kept = [database.name, database.psql, name or ""]  # type: ignore[attr-defined] # reports carry what plugins add


def _text(database: "PairDatabase", keep_as: str | None) -> str:
    until = (
        f"kept until the next run with --dbops-keep; its servers are stopped by: "
        f"{_down(keep_as)}"
        if keep_as
        else "kept until the run ends; to look at it afterwards: pytest --dbops-keep"
    )
    return f"{database.name}\n{database.psql}\n{until}"


def summed_up(
    reporter: "pytest.TerminalReporter", reports: Iterable[pytest.TestReport]
) -> None:
    """Write which databases were kept, and how to get at them.

    Args:
        reporter: Where to.
        reports: Those of the tests whose databases were kept.
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
