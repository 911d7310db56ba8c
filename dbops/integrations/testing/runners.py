"""Who runs a test's event loop, and so has to open its session?"""

import pytest

from dbops.errors import UsageError

_BY_ANYIO = "_dbops_session_by_anyio"


def session_fixture(request: pytest.FixtureRequest) -> str:
    """Return the name of the fixture that opens a session on the loop of a test.

    Raises:
        UsageError: If neither pytest-asyncio nor anyio runs the test on asyncio, or
            each of them some part of it.
    """
    by_asyncio = _by_asyncio(request)
    if "anyio_backend" not in request.fixturenames:
        if by_asyncio is None:
            raise UsageError(
                "dbops_session is for tests that pytest-asyncio or anyio runs",
                hint="mark it with pytest.mark.asyncio (or set asyncio_mode = auto; "
                "pytest-asyncio 0.26 or newer) or with pytest.mark.anyio; others use "
                "dbops_database",
            )
        return by_asyncio
    if by_asyncio is not None:
        # Each would run some of its fixtures, on a loop of its own.
        raise UsageError(
            "dbops_session is for one event loop, and both pytest-asyncio and anyio "
            "run this test",
            hint="set asyncio_mode = strict, and mark the test for one of them",
        )
    backend = request.getfixturevalue("anyio_backend")
    backend = backend if isinstance(backend, str) else backend[0]
    if backend != "asyncio":
        raise UsageError(
            f"dbops_session works on asyncio, and this test runs on {backend}",
            hint="let the fixture anyio_backend return 'asyncio'",
        )
    return _BY_ANYIO


def _by_asyncio(request: pytest.FixtureRequest) -> str | None:
    if not request.config.pluginmanager.has_plugin("dbops-asyncio"):
        return None
    from dbops.integrations.testing.on_asyncio import fixture_for  # noqa: PLC0415 # it may not be installed

    return fixture_for(request.node)
