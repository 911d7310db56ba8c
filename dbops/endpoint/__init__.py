"""One place to connect to: a connection URL, read as libpq reads it.

https://www.postgresql.org/docs/current/libpq-connect.html
"""

from dbops.endpoint.model import (
    DEFAULT_PORT,
    Address,
    Driver,
    Endpoint,
    Role,
    SessionAttrs,
    SslMode,
)
from dbops.endpoint.parse import parse_addresses, parse_url

__all__ = [
    "DEFAULT_PORT",
    "Address",
    "Driver",
    "Endpoint",
    "Role",
    "SessionAttrs",
    "SslMode",
    "parse_addresses",
    "parse_url",
]
