"""What does a server answer that knows only the simple query protocol?

A pooler's admin console is such a server: it refuses prepared statements, even those
without a name. The driver speaks the simple protocol too, and throws the rows away; so
they are taken on their way to it.
"""

import asyncio
import struct
from typing import cast

from typing_extensions import override

from dbops.engine.dialling.connector import Dialled
from dbops.engine.faults.translate import translated

# https://www.postgresql.org/docs/current/protocol-message-formats.html
_HEADER = struct.Struct("!cI")
_COUNT = struct.Struct("!H")
_SIZE = struct.Struct("!i")
_AFTER_NAME = 18
_NULL = -1

Row = dict[str, str | None]


async def simple_rows(dialled: Dialled, query: str) -> list[Row]:
    """Ask in one message, and return the rows by column, as the server wrote them.

    Args:
        dialled: An open connection on which nothing else is asked meanwhile.
        query: One statement, without parameters.

    Raises:
        DbopsError: The translation of whatever the driver raises.
    """
    connection = dialled.connection
    transport = cast("asyncio.Transport", connection._transport)  # type: ignore[attr-defined] # noqa: SLF001 # asyncpg shows it nowhere else
    driver = cast("asyncio.Protocol", transport.get_protocol())
    listener = _Listener(driver)
    transport.set_protocol(listener)
    try:
        with translated(dialled.endpoint):
            await connection.execute(query)
    finally:
        transport.set_protocol(driver)
    return listener.rows


class _Listener(asyncio.Protocol):
    """Reads the rows among the messages that it hands on to the driver."""

    def __init__(self, driver: asyncio.Protocol) -> None:
        self._driver = driver
        self._heard = b""
        self._columns: list[str] = []
        self.rows: list[Row] = []

    @override
    def data_received(self, data: bytes) -> None:
        self._heard += data
        while len(self._heard) >= _HEADER.size:
            kind, size = _HEADER.unpack_from(self._heard)
            # The size counts itself, and not the letter before it.
            if len(self._heard) < size + 1:
                break
            body, self._heard = (
                self._heard[_HEADER.size : size + 1],
                self._heard[size + 1 :],
            )
            self._take(kind, body)
        self._driver.data_received(data)

    def _take(self, kind: bytes, body: bytes) -> None:
        if kind == b"T":
            self._columns = _columns(body)
        elif kind == b"D":
            self.rows.append(dict(zip(self._columns, _values(body), strict=True)))

    @override
    def eof_received(self) -> bool | None:
        return self._driver.eof_received()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._driver.connection_lost(exc)

    @override
    def pause_writing(self) -> None:
        self._driver.pause_writing()

    @override
    def resume_writing(self) -> None:
        self._driver.resume_writing()


def _columns(body: bytes) -> list[str]:
    """Read the names of a RowDescription."""
    names: list[str] = []
    at = _COUNT.size
    for _ in range(_COUNT.unpack_from(body)[0]):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode(errors="replace"))
        at = end + 1 + _AFTER_NAME
    return names


def _values(body: bytes) -> list[str | None]:
    """Read the values of a DataRow."""
    values: list[str | None] = []
    at = _COUNT.size
    for _ in range(_COUNT.unpack_from(body)[0]):
        (size,) = _SIZE.unpack_from(body, at)
        at += _SIZE.size
        if size == _NULL:
            values.append(None)
            continue
        values.append(body[at : at + size].decode(errors="replace"))
        at += size
    return values
