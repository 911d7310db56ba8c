"""Fixtures for pytest: a writer and standby, a database for each test, a session.

They are there without further ado; nothing starts before a test asks for one of them.
What they do is in `dbops.integrations.testing`, imported when it is needed.
"""

from collections.abc import Generator

import pytest

from dbops.integrations.testing import fixtures
from dbops.integrations.testing.run import OPEN


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our option."""
    parser.getgroup("dbops").addoption(
        "--dbops-keep",
        action="store_true",
        help="leave the databases of failed tests, and the servers that they are on",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the fixtures, and those that need pytest-asyncio where that is at work."""
    config.pluginmanager.register(fixtures, "dbops-fixtures")
    if _has_loop_scopes(config):
        from dbops.integrations.testing import on_asyncio  # noqa: PLC0415 # see above

        config.pluginmanager.register(on_asyncio, "dbops-asyncio")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the database of a test that fails, and name it."""
    report = yield
    if OPEN in item.stash and report.failed and report.when != "teardown":
        from dbops.integrations.testing.kept import keep  # noqa: PLC0415 # see above

        keep(item, report)
    return report


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    """Name the databases that were kept."""
    reports = [
        report
        for kind in ("failed", "error")
        for report in terminalreporter.getreports(kind)
        if hasattr(report, "dbops_kept")
    ]
    if reports:
        from dbops.integrations.testing.kept import summed_up  # noqa: PLC0415 # see above

        summed_up(terminalreporter, reports)


def _has_loop_scopes(config: pytest.Config) -> bool:
    """Tell whether pytest-asyncio is at work, and knows loops of several scopes.

    Whoever has an older one, and uses nothing of ours, must not notice us.
    """
    if not config.pluginmanager.has_plugin("asyncio"):
        return False
    try:
        return bool(config.getini("asyncio_default_test_loop_scope"))
    except (KeyError, ValueError):
        return False
