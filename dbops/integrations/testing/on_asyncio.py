"""For pytest-asyncio: the session of a test, on the event loop of that test.

A loop lives as long as a function, a class, a module, a package or a session; a fixture
has to say which it wants, so there is one for each.
"""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from dbops.integrations.testing.shared import Shared

_SCOPES = ("function", "class", "module", "package", "session")


def fixture_for(item: pytest.Item) -> str | None:
    """Return which fixture below fits a test; None if pytest-asyncio does not run it.

    Args:
        item: The test.
    """
    mark = item.get_closest_marker("asyncio")
    if mark is None:
        return None
    # The older name of the same argument.
    scope = mark.kwargs.get("loop_scope") or mark.kwargs.get("scope")
    return _name(scope or item.config.getini("asyncio_default_test_loop_scope"))


def _name(scope: str) -> str:
    return f"_dbops_session_on_{scope}_loop"


def _made(scope: Any) -> Any:  # noqa: ANN401 # pytest-asyncio's own types
    @pytest_asyncio.fixture(name=_name(scope), loop_scope=scope)
    async def session(_dbops_shared: "Shared") -> AsyncGenerator[object]:
        from dbops.integrations.testing.session import rolled_back  # noqa: PLC0415 # SQLAlchemy
        from dbops.integrations.testing.told import told  # noqa: PLC0415 # same

        with told():
            async with rolled_back(_dbops_shared) as opened:
                yield opened

    return session


for _scope in _SCOPES:
    globals()[_name(_scope)] = _made(_scope)
