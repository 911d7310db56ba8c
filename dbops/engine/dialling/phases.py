"""Where does the time of connecting go, and what may each step take?"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from typing_extensions import override

from dbops.engine.dialling.first_words import FirstWords
from dbops.threads import in_daemon_thread

# A peer that vanished without a word is noticed in 10 + 3 * 5 s, also while the
# server works on a statement for which there is no time-out.
KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
USER_TIMEOUT_MS = 25_000
_MAX_PLACE_S = 1.0


@dataclass(slots=True)
class Phases:
    """Milliseconds that each phase of connecting took; one not run is absent."""

    phase: str = "resolve"
    """The phase under way: where it failed, after a failure."""
    spent_ms: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=perf_counter)

    def enter(self, phase: str) -> None:
        """End the phase under way and start `phase`."""
        now = perf_counter()
        self.spent_ms[self.phase] = (
            self.spent_ms.get(self.phase, 0.0) + (now - self._since) * 1000
        )
        self.phase, self._since = phase, now


class TimedLoop:
    """Stands in for the event loop while asyncpg connects.

    asyncpg opens its sockets through the loop that it is given, so this is where each
    phase is seen to begin, where name look-ups can be abandoned, and where the socket
    gets its keepalive. Its requests to cancel a statement come this way too.

    Args:
        phases: Where the time is added up.
        tls: Whether TLS comes after the connection.
        timeout_s: What all phases may take together.
    """

    def __init__(self, phases: Phases, *, tls: bool, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._phases = phases
        self._tls = tls
        self._timeout_s = timeout_s
        self.is_shaking_hands = False
        """Whether the TLS handshake has begun, and not ended."""
        self.is_stranger = False
        """Whether what answered is no PostgreSQL server."""

    def stop_timing(self) -> None:
        """Connecting is over: a request to cancel is none of its phases."""
        self._phases = Phases()

    # asyncio.current_task(loop) looks the loop up in a dictionary.
    @override
    def __eq__(self, other: object) -> bool:
        return other is self or other is self._loop

    @override
    def __hash__(self) -> int:
        return hash(self._loop)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 # whatever the loop has
        """Leave all else to the loop."""
        return getattr(self._loop, name)

    async def create_connection(
        self, factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
        """Look up the name and connect to its first address that answers."""
        self._phases.enter("resolve")
        places = await in_daemon_thread(
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        self._phases.enter("connect")
        sock = await self._opened(places)
        self._phases.enter("tls" if self._tls else "auth")
        if self._tls:
            return await self._loop.create_connection(factory, sock=sock)
        transport, words = await self._loop.create_connection(
            lambda: FirstWords(factory(), self._found_stranger), sock=sock
        )
        return transport, words.driver

    def _found_stranger(self) -> None:
        self.is_stranger = True

    async def create_unix_connection(
        self, factory: Callable[[], asyncio.BaseProtocol], path: str
    ) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
        """Connect to a socket, for which there is no name to look up."""
        self._phases.phase = "connect"
        made = await self._loop.create_unix_connection(factory, path)
        self._phases.enter("auth")
        return made

    async def start_tls(self, *args: Any, **kwargs: Any) -> asyncio.Transport | None:  # noqa: ANN401 # passed on
        """Shake hands."""
        self.is_shaking_hands = True
        transport = await self._loop.start_tls(*args, **kwargs)
        self.is_shaking_hands = False
        self._phases.enter("auth")
        return transport

    async def _opened(self, places: list[Any]) -> socket.socket:
        """Connect to the first place that answers; a silent one cannot use up all."""
        limit_s = min(_MAX_PLACE_S, self._timeout_s / (len(places) + 1))
        for number, (family, kind, protocol, _, sockaddr) in enumerate(places):
            sock = socket.socket(family, kind, protocol)
            sock.settimeout(0)
            is_last = number == len(places) - 1
            try:
                async with asyncio.timeout(None if is_last else limit_s):
                    await self._loop.sock_connect(sock, sockaddr)
            except BaseException as error:
                sock.close()
                if is_last or not isinstance(error, OSError):
                    raise
            else:
                _keep_alive(sock)
                return sock
        raise OSError("the name has no address")


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {**KEEPALIVE, "TCP_USER_TIMEOUT": USER_TIMEOUT_MS}
    for name, value in options.items():
        # Each system knows its own subset.
        with contextlib.suppress(AttributeError, OSError):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
