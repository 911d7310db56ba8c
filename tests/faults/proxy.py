"""Real sockets that misbehave: a proxy that freezes and cuts, and impostors.

`Proxy` stands between a client and a real server, byte for byte, until it is told
otherwise. It can

- `freeze()`: accept, read and pass nothing on, as a network that drops packets;
- `thaw()`: pass on again, what was held back included;
- `cut()`: end all its connections with a reset;
- `refuse()`: reset who connects from now on, until `accept()`;
- `keep_open()`: tell neither side that the other has hung up;
- `freeze_after(words)`: pass on what the client says up to these words, and no answer;
- count the round trips of its clients;
- be made with `answers=k`: freeze each connection after k messages of the server.

`impostor` serves a script of bytes instead of PostgreSQL. `unanswered` is an address
that does not complete a TCP handshake.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from dbops.endpoint import Address, Endpoint

HOST = "127.0.0.1"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_HEADER = struct.Struct("!cI")


def _already() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Proxy:
    """A network between client and server that can be told to fail."""

    port: int = 0
    answers: int | None = None
    connections: int = 0
    """How many clients have connected."""
    round_trips: int = 0
    """How often a client has spoken after an answer (or first of all)."""
    is_refusing: bool = False
    """Whether nobody is let in."""
    _is_answered: bool = True
    _last_words: bytes | None = None
    _moving: asyncio.Event = field(default_factory=_already)
    _ending: asyncio.Event = field(default_factory=_already)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def address(self) -> Address:
        """Where clients connect to."""
        return Address(HOST, self.port)

    def before(self, endpoint: Endpoint) -> Endpoint:
        """Return the endpoint seen through the proxy."""
        return replace(endpoint, addresses=(self.address,))

    def freeze(self) -> None:
        """Pass nothing on from now."""
        self._moving.clear()

    def freeze_after(self, words: bytes) -> None:
        """Pass nothing on once a client has said `words`, which arrive."""
        self._last_words = words

    def thaw(self) -> None:
        """Pass on again, with what was held back."""
        self._moving.set()

    def refuse(self) -> None:
        """Let nobody in from now."""
        self.is_refusing = True

    def accept(self) -> None:
        """Let everybody in again."""
        self.is_refusing = False

    def keep_open(self) -> None:
        """Pass on no end of a connection, until the proxy is gone."""
        self._ending.clear()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            _reset(writer)
        self._writers.clear()

    async def serve(self, server: Streams, client: Streams) -> None:
        """Pass bytes in both directions until one side ends."""
        self.connections += 1
        self._writers += [server[1], client[1]]
        counted = _Counted(self.answers)
        tasks = [
            asyncio.create_task(
                self._pump(client[0], server[1], lambda it: self._asked(it, counted))
            ),
            asyncio.create_task(
                self._pump(server[0], client[1], lambda it: self._told(it, counted))
            ),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await self._ending.wait()
        finally:
            for task in tasks:
                task.cancel()
            # First, because whoever takes the proxy away cancels the next line.
            for writer in (server[1], client[1]):
                writer.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _asked(self, data: bytes, counted: "_Counted") -> bytes:
        self.round_trips += self._is_answered
        self._is_answered = False
        if self._last_words is not None and self._last_words in data:
            self.freeze()
        return counted.asked(data)

    def _told(self, data: bytes, counted: "_Counted") -> bytes:
        self._is_answered = True
        return counted.answered(data)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        let_through: Callable[[bytes], bytes],
    ) -> None:
        with suppress(OSError):
            while passed := await source.read(1 << 16):
                await self._moving.wait()
                target.write(let_through(passed))
                await target.drain()


class _Counted:
    """Lets the first `limit` messages of the server through; None lets all."""

    def __init__(self, limit: int | None) -> None:
        self._left = limit
        self._is_tls_answer = False
        self._buffer = b""

    def asked(self, data: bytes) -> bytes:
        self._is_tls_answer = data == _SSL_REQUEST
        return data

    def answered(self, data: bytes) -> bytes:
        if self._left is None:
            return data
        self._buffer += data
        passed = b""
        while self._left and (size := self._size()) <= len(self._buffer):
            passed, self._buffer = passed + self._buffer[:size], self._buffer[size:]
            self._left -= 1
        return passed

    def _size(self) -> int:
        if self._is_tls_answer:
            self._is_tls_answer = False
            return 1
        if len(self._buffer) < _HEADER.size:
            return _HEADER.size
        return 1 + int(_HEADER.unpack_from(self._buffer)[1])


@asynccontextmanager
async def proxy(
    endpoint: Endpoint, *, answers: int | None = None
) -> AsyncGenerator[Proxy]:
    """Stand in front of a server for the block."""
    made = Proxy(answers=answers)
    behind = endpoint.addresses[0]

    async def accept(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            if made.is_refusing:
                raise ConnectionRefusedError  # as a server that is away
            server = await asyncio.open_connection(behind.host, behind.port)
        except OSError:
            _reset(writer)
        else:
            await made.serve(server, (reader, writer))

    async with _listening(accept) as made.port:
        yield made


@asynccontextmanager
async def impostor(script: Script) -> AsyncGenerator[Address]:
    """Listen for the block, and answer each client with `script`."""
    async with _listening(script) as port:
        yield Address(HOST, port)


async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept, read, and say nothing."""
    while await reader.read(1 << 16):
        pass
    writer.close()


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hang up at once."""
    del reader
    writer.close()


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the first bytes with RST."""
    await reader.read(1)
    _reset(writer)


def saying(answer: bytes) -> Script:
    """Return a script that answers each message with the same bytes."""

    async def script(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while await reader.read(1 << 16):
                writer.write(answer)
                await writer.drain()
        writer.close()

    return script


def plain_then(answer: bytes) -> Script:
    """Return a script without TLS that answers the start-up message, and is silent."""

    async def script(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            if await reader.read(1 << 16) == _SSL_REQUEST:
                writer.write(b"N")
                await reader.read(1 << 16)
            writer.write(answer)
            await deaf(reader, writer)

    return script


def with_certificate(context: ssl.SSLContext) -> Script:
    """Return a script that agrees on TLS and is silent afterwards."""

    async def script(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            await reader.readexactly(len(_SSL_REQUEST))
            writer.write(b"S")
            await writer.start_tls(context)
            await deaf(reader, writer)
        writer.close()

    return script


def server_error(sqlstate: str, message: str) -> bytes:
    """Write an ErrorResponse as a server does before authentication.

    https://www.postgresql.org/docs/current/protocol-error-fields.html
    """
    fields = {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": message}
    body = b"".join(
        name.encode() + value.encode() + b"\0" for name, value in fields.items()
    )
    return b"E" + struct.pack("!I", len(body) + 5) + body + b"\0"


@asynccontextmanager
async def unanswered() -> AsyncGenerator[Address]:
    """Yield an address whose queue is full, so that a TCP handshake never ends."""
    with socket.create_server((HOST, 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = [_knock(port) for _ in range(4)]
        await asyncio.sleep(0.05)
        try:
            yield Address(HOST, port)
        finally:
            for knocking in waiting:
                knocking.close()


def _knock(port: int) -> socket.socket:
    knocking = socket.socket()
    knocking.settimeout(0)
    with suppress(BlockingIOError):
        knocking.connect((HOST, port))
    return knocking


@asynccontextmanager
async def _listening(accept: Script) -> AsyncGenerator[int]:
    """Listen for the block; whoever is still connected afterwards is thrown out."""
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await accept(reader, writer)

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(run(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: writer.close())

    server = await asyncio.start_server(start, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
