"""How an engine of SQLAlchemy is made over the connections of dbops."""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from dbops.engine.driver import Connection

Creator = Callable[[], Awaitable[Connection]]

# Its name in a URL; everything else about it is that of asyncpg.
_DIALECT = "postgresql.dbops"


def engine_over(creator: Creator, **options: Any) -> AsyncEngine:  # noqa: ANN401 # SQLAlchemy's own
    """Make an engine whose connections come from `creator`.

    Args:
        creator: Opens one.
        options: Of `create_async_engine`.
    """
    registry.register(_DIALECT, "dbops.engine.dialect", "Dialect")
    return create_async_engine(
        "postgresql+dbops://",
        async_creator=creator,
        hide_parameters=True,
        **options,
    )
