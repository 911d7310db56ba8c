"""What tests of replication share: connections, cascades, stalls, and the truth."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, Connectors, connect
from dbops.local.account import Programs, find_programs
from dbops.local.cluster import Cluster, start
from dbops.local.data_folder import make_standby
from dbops.local.folders import cache_home
from dbops.local.spawn import run
from dbops.local.state import HOST, USER, Pair, endpoint
from dbops.local.stopping import stop
from dbops.operations.lag import Lag
from dbops.settings import load_settings

STREAMS = "SELECT count(*) = 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"
IS_GONE = "SELECT count(*) = 0 FROM pg_stat_wal_receiver"
# Clocks of one machine, and the time between a question and its answer.
SLACK_S = 0.05


@asynccontextmanager
async def on(endpoint: Endpoint) -> AsyncGenerator[Connection]:
    connection = await connect(endpoint)
    try:
        yield connection
    finally:
        await connection.close()


async def ask(endpoint: Endpoint, *statements: str) -> object:
    """Run statements; return the value of the last."""
    value: object = None
    async with on(endpoint) as connection:
        for statement in statements:
            value = await connection.fetchval(statement)
    return value


async def until(endpoint: Endpoint, question: str, *, limit_s: float = 20.0) -> None:
    """Ask until the answer is yes."""
    async with on(endpoint) as connection, asyncio.timeout(limit_s):
        while not await connection.fetchval(question):
            await asyncio.sleep(0.02)


def between(writer: Endpoint | None, reader: Endpoint) -> Connectors:
    places = {"database_url": writer, "database_reader_url": reader}
    return Connectors(
        load_settings(
            flags={
                name: place.url(show_password=True)
                for name, place in places.items()
                if place is not None
            }
        )
    )


async def configure(endpoint: Endpoint, setting: str, value: str | None) -> None:
    change = "RESET " + setting
    if value is not None:
        change = f"SET {setting} = '{value.replace(chr(39), chr(39) * 2)}'"
    async with on(endpoint) as server:
        await server.execute(f"ALTER SYSTEM {change}")
        await server.execute("SELECT pg_catalog.pg_reload_conf()")


@asynccontextmanager
async def configured(
    endpoint: Endpoint, setting: str, value: str
) -> AsyncGenerator[None]:
    """Change a setting for the block."""
    await configure(endpoint, setting, value)
    try:
        yield
    finally:
        await configure(endpoint, setting, None)


@asynccontextmanager
async def paused(reader: Endpoint) -> AsyncGenerator[None]:
    """Stop the replay for the block."""
    await ask(reader, "SELECT pg_catalog.pg_wal_replay_pause()::text")
    await until(reader, "SELECT pg_catalog.pg_get_wal_replay_pause_state() = 'paused'")
    try:
        yield
    finally:
        await ask(reader, "SELECT pg_catalog.pg_wal_replay_resume()::text")


@asynccontextmanager
async def cut_off(reader: Endpoint) -> AsyncGenerator[None]:
    """Let the reader look for its upstream where there is none."""
    async with configured(reader, "primary_conninfo", "host=127.0.0.1 port=1"):
        await until(reader, IS_GONE)
        yield
    await until(reader, STREAMS)


@asynccontextmanager
async def stalled(sender: Endpoint) -> AsyncGenerator[None]:
    """Freeze the process that sends WAL, as a network does that drops packets."""
    pid = await ask(sender, "SELECT pid FROM pg_stat_replication LIMIT 1")
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@dataclass
class Book:
    """Rows that are written one by one, and when each was committed."""

    pair: Pair
    rows: list[tuple[float, float]] = field(default_factory=list)
    """Before and after the commit of row 1, 2, …"""

    async def open(self) -> None:
        await ask(self.pair.writer, "CREATE TABLE book (n int PRIMARY KEY)")

    async def write(self) -> None:
        async with on(self.pair.writer) as writer:
            await self.write_on(writer)

    async def write_on(self, writer: Connection) -> None:
        before = time.time()
        await writer.execute("INSERT INTO book VALUES ($1)", len(self.rows) + 1)
        self.rows.append((before, time.time()))

    async def holds(self, found: Lag, reader: Endpoint | None = None) -> bool:
        """Tell whether the bounds hold the age of the oldest row that is missing.

        For a reader that has shown the same rows since it was asked.
        """
        query = "SELECT coalesce(max(n), 0) FROM book"
        seen = await ask(reader or self.pair.reader, query)
        assert isinstance(seen, int)
        assert found.as_of is not None
        assert found.lag_low_s is not None
        at = found.as_of.timestamp()
        low_s = high_s = 0.0
        if seen < len(self.rows):
            before, after = self.rows[seen]
            low_s, high_s = max(at - after, 0.0), max(at - before, 0.0)
        if found.lag_high_s is not None and found.lag_high_s < low_s - SLACK_S:
            return False
        return found.lag_low_s <= high_s + SLACK_S


async def programs_of(pg_bin: Path | None = None) -> Programs:
    return await find_programs(cache_home(None), pg_bin)


async def restart(
    pair: Pair, role: str, *, pg_bin: Path | None = None, is_quick: bool = False
) -> None:
    """Stop a server of the pair, and start it again on its port."""
    cluster = Cluster(await programs_of(pg_bin), pair.folder, role, dies_with_us=True)
    text = cluster.conf.read_text()
    port = getattr(pair, role).addresses[0].port
    await stop(cluster.data, is_quick=is_quick)
    await start(cluster, pair.folder / "sockets", port, lambda _: text)


@asynccontextmanager
async def cascaded(pair: Pair) -> AsyncGenerator[Endpoint]:
    """Run a third server, which receives from the pair's reader."""
    programs = await programs_of()
    cluster = Cluster(programs, pair.folder, "third", dies_with_us=True)
    programs.account.make_private_folder(cluster.data)
    sockets = pair.folder / "sockets"
    command = [programs.path("pg_basebackup"), "-D", cluster.data, "-h", sockets]
    command += ["-p", str(pair.writer.addresses[0].port), "-U", USER, "-c", "fast"]
    await run([str(it) for it in command], programs.account)
    make_standby(programs, cluster.data)
    text = _third(pair, sockets, (pair.folder / "reader.conf").read_text(), cluster)
    port = await start(cluster, sockets, None, text)
    try:
        third = endpoint(HOST, port, pair.writer.password)
        await until(third, STREAMS)
        yield third
    finally:
        await stop(cluster.data, is_quick=True)


def _third(
    pair: Pair, sockets: Path, reader: str, cluster: Cluster
) -> Callable[[int], str]:
    upstream = pair.reader.addresses[0].port

    def text(port: int) -> str:
        mine = reader.replace(str(pair.folder / "reader"), str(cluster.data))
        return (
            f"{mine}port = {port}\ncluster_name = 'third'\nprimary_slot_name = ''\n"
            f"primary_conninfo = 'host={sockets} port={upstream} user={USER} "
            "application_name=third sslmode=disable'\n"
        )

    return text
