"""A network that takes half a millisecond each way, in a process of its own.

The usual selector of an event loop waits in whole milliseconds; `select` does not.
"""

import argparse
import asyncio
import selectors
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from subprocess import PIPE
from typing import cast

from typing_extensions import override

from dbops.endpoint import Address, Endpoint

HOST = "127.0.0.1"


class Side(asyncio.Protocol):
    """One side of a connection: what it says reaches the other one later.

    Args:
        delay_s: How much later.
    """

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.other: asyncio.Future[asyncio.WriteTransport] = asyncio.Future()
        self.mine: asyncio.WriteTransport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.mine = cast("asyncio.WriteTransport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._later(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._later(None)

    def _later(self, data: bytes | None) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(self.delay_s, self._pass_on, data)

    def _pass_on(self, data: bytes | None) -> None:
        if not self.other.done():
            self.other.add_done_callback(lambda _: self._pass_on(data))
        elif data is None:
            self.other.result().close()
        else:
            self.other.result().write(data)


async def pass_on(host: str, port: int, delay_s: float) -> None:
    """Listen, tell where on stdout, and stand between for ever."""
    loop = asyncio.get_running_loop()
    dials: set[asyncio.Task[None]] = set()

    async def dial(client: Side) -> None:
        _, server = await loop.create_connection(lambda: Side(delay_s), host, port)
        assert server.mine is not None  # it is connected  # noqa: S101
        assert client.mine is not None  # as it was before  # noqa: S101
        server.other.set_result(client.mine)
        client.other.set_result(server.mine)

    class Client(Side):
        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            task = asyncio.create_task(dial(self))
            dials.add(task)
            task.add_done_callback(dials.discard)

    listening = await loop.create_server(lambda: Client(delay_s), HOST, 0, backlog=200)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


@asynccontextmanager
async def slow_network(endpoint: Endpoint, delay_s: float) -> AsyncGenerator[Endpoint]:
    """Yield an endpoint whose every packet is `delay_s` late, for the block."""
    behind = endpoint.addresses[0]
    words = (behind.host, str(behind.port), str(delay_s))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.engine_network", *words, stdout=PIPE
    )
    assert process.stdout is not None  # it is a pipe  # noqa: S101
    try:
        port = int(await process.stdout.readline())
        yield replace(endpoint, addresses=(Address(HOST, port),))
    finally:
        process.kill()
        await process.wait()


def main() -> None:
    """Be that process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("delay_s", type=float)
    options = parser.parse_args()
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    loop.run_until_complete(pass_on(options.host, options.port, options.delay_s))


if __name__ == "__main__":
    main()
