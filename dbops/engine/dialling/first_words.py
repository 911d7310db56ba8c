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
# What asks for a password, or lets in; the other requests go on with an exchange, and
# asyncpg 0.32 crashes the process over one that has not begun.
_REQUEST = struct.Struct("!I")
_REQUESTS = frozenset({0, 2, 3, 5, 6, 7, 9, 10})


class FirstWords(asyncio.Protocol):
    """Lets the driver hear a peer only once that has begun as a server does.

    The driver takes a length from somebody else's greeting, waits for that much, and
    where it is below 4 spins for ever in a loop that nothing can interrupt.

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
        verdict = _is_server(self._heard)
        if verdict is None:
            return
        if verdict:
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


def _is_server(heard: bytes) -> bool | None:
    """Tell whether a server has begun so; None while that is too little to tell."""
    if len(heard) < _HEADER.size:
        return None
    kind, size = _HEADER.unpack_from(heard)
    if kind not in _KINDS or size not in _SIZES:
        return False
    if kind != b"R":
        return True
    if len(heard) < _HEADER.size + _REQUEST.size:
        return None
    return _REQUEST.unpack_from(heard, _HEADER.size)[0] in _REQUESTS
