"""Who runs a test's event loop, and so has to open its session?"""

import pytest

from dbops.errors import UsageError

_BY_ANYIO = "_dbops_session_by_anyio"


def session_fixture(request: pytest.FixtureRequest) -> str:
    """Return the name of the fixture that opens a session on the loop of a test.

    Raises:
        UsageError: If neither pytest-asyncio nor anyio runs the test on asyncio.
    """
    if request.config.pluginmanager.has_plugin("dbops-asyncio"):
        from dbops.integrations.testing.on_asyncio import fixture_for  # noqa: PLC0415 # it may not be installed

        if name := fixture_for(request.node):
            return name
    if "anyio_backend" not in request.fixturenames:
        raise UsageError(
            "dbops_session is for tests that pytest-asyncio or anyio runs",
            hint="mark it with pytest.mark.asyncio (pytest-asyncio 0.26 or newer) "
            "or pytest.mark.anyio; others use dbops_database",
        )
    backend = request.getfixturevalue("anyio_backend")
    backend = backend if isinstance(backend, str) else backend[0]
    if backend != "asyncio":
        raise UsageError(
            f"dbops_session works on asyncio, and this test runs on {backend}",
            hint="let the fixture anyio_backend return 'asyncio'",
        )
    return _BY_ANYIO
