"""How an engine of SQLAlchemy is made over the connections of dbops."""

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from dbops.endpoint import Driver
from dbops.engine.dialling.driver import Connection
from dbops.errors import ConfigError

Creator = Callable[[], Awaitable[Connection]]

# Their names in a URL, and where they are; none is imported before it is used.
_HERE = "dbops.engine.pooled"
_DIALECTS: dict[Driver, tuple[str, str, str]] = {
    "asyncpg": ("dbops", f"{_HERE}.asyncpg_dialect", "Dialect"),
    "psycopg": ("dbops_psycopg", f"{_HERE}.psycopg_dialect", "PsycopgDialect"),
}


def engine_over(
    creator: Creator,
    *,
    driver: Driver = "asyncpg",
    **options: Any,  # noqa: ANN401 # SQLAlchemy's own
) -> AsyncEngine:
    """Make an engine whose connections come from `creator`.

    Args:
        creator: Opens one.
        driver: Whose connections they are.
        options: Of `create_async_engine`.

    Raises:
        ConfigError: If the driver is not installed, or finds no libpq.
    """
    name, module, its = _DIALECTS[driver]
    try:
        import_module(driver)
    except ImportError as error:
        raise ConfigError(
            f"{driver}, which the URL names, cannot be imported",
            hint=f"pip install 'dbops[{driver}]'",
            phase="settings",
        ) from error
    registry.register(f"postgresql.{name}", module, its)
    return create_async_engine(
        f"postgresql+{name}://",
        async_creator=creator,
        hide_parameters=True,
        **options,
    )
