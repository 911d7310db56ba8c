"""Is it PostgreSQL that answers?"""

import asyncio
import struct
from collections.abc import Callable
from typing import cast

from typing_extensions import override

# Authentication, an error, a notice, or another version of the protocol.
# https://www.postgresql.org/docs/current/protocol-message-formats.html
_KINDS = frozenset({b"R", b"E", b"N", b"v"})
_HEADER = struct.Struct("!cI")
_SIZES = range(4, 1 << 16)


class StrangerError(ConnectionError):
    """Whatever answered is no PostgreSQL server."""


class FirstWords(asyncio.Protocol):
    """Lets the driver hear a peer only once that has begun as a server does.

    The driver waits for a length that it took from somebody else's greeting, and for
    ever, in a loop that nothing can interrupt, where that length is below 4.

    Args:
        driver: The driver's protocol, which takes over after the first header.
        on_stranger: Called before the connection to somebody else is dropped.
    """

    def __init__(
        self, driver: asyncio.Protocol, on_stranger: Callable[[], None]
    ) -> None:
        self.driver = driver
        self._on_stranger = on_stranger
        self._heard = b""
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.driver.connection_made(transport)

    @override
    def data_received(self, data: bytes) -> None:
        assert self._transport is not None  # connection_made comes first  # noqa: S101
        self._heard += data
        if len(self._heard) < _HEADER.size:
            return
        kind, size = _HEADER.unpack_from(self._heard)
        if kind in _KINDS and size in _SIZES:
            self._transport.set_protocol(self.driver)
            self.driver.data_received(self._heard)
        else:
            self._on_stranger()
            self._transport.abort()

    @override
    def eof_received(self) -> bool | None:
        return self.driver.eof_received()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.driver.connection_lost(exc)

    @override
    def pause_writing(self) -> None:
        self.driver.pause_writing()

    @override
    def resume_writing(self) -> None:
        self.driver.resume_writing()
