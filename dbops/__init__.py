"""Create, migrate, prove healthy and serve a PostgreSQL writer and its readers."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbops.endpoint import Endpoint
    from dbops.engine.connect import Connector, Connectors, connect
    from dbops.engine.database import Database
    from dbops.engine.sessions.token import Token
    from dbops.errors import DbopsError
    from dbops.results import Result, Status
    from dbops.settings import Settings, load_settings

__version__ = "0.1.0"

__all__ = [
    "Connector",
    "Connectors",
    "Database",
    "DbopsError",
    "Endpoint",
    "Result",
    "Settings",
    "Status",
    "Token",
    "connect",
    "load_settings",
]

_ROOMS = {
    "Connector": "dbops.engine.connect",
    "Connectors": "dbops.engine.connect",
    "Database": "dbops.engine.database",
    "DbopsError": "dbops.errors",
    "Endpoint": "dbops.endpoint",
    "Result": "dbops.results",
    "Settings": "dbops.settings",
    "Status": "dbops.results",
    "Token": "dbops.engine.sessions.token",
    "connect": "dbops.engine.connect",
    "load_settings": "dbops.settings",
}


def __getattr__(name: str) -> object:
    """Import a public name at its first use, so that a probe imports only its own."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)
