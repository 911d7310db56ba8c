"""What an application's sessions leave behind after a hundred thousand requests.

    python benchmarks/run.py engine-leaks

First a closed loop of workers that read in each way, write, and fail: the memory of
this process is told before and after, and what the pools and the server still hold.
Then requests that write one row each are cancelled, each at a moment of its own: what
was acknowledged has to be there, and nothing may be left in a transaction.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import text
from typing_extensions import override

from benchmarks.engine import fill
from benchmarks.engine_rivals import BY_NAME, ONE
from benchmarks.turns import urls, verdict
from dbops.engine.connect import Connection, connect
from dbops.engine.database import Database
from dbops.local.throwaway import throwaway
from dbops.settings import load_settings

REQUESTS, CANCELLED = 100_000, 10_000
WORKERS, POOL = 16, 8
FLAT = 1.1
ADD = text("INSERT INTO done VALUES (:n)")

Request = Callable[[Database, int], Awaitable[object]]


def bench_leaks(rounds: int) -> bool:
    """Requests that end, and requests that are cancelled."""

    async def measured() -> bool:
        async with throwaway(settings={"max_connections": "200"}) as pair:
            await fill(pair)
            admin = await connect(pair.writer, application_name="admin")
            await admin.execute("CREATE TABLE done (n int PRIMARY KEY)")
            flags = {
                **{name.lower(): url for name, url in urls(pair).items()},
                "pool_size": POOL,
                "max_overflow": 0,
                "pool_timeout": "30s",
            }
            good = True
            async with Database(load_settings(flags=flags)) as database:
                for _ in range(rounds):
                    good = await requests(database, admin) and good
                    good = await cancellations(database, admin) and good
            await admin.close()
        return good

    return asyncio.run(measured())


async def read(database: Database, _: int) -> None:
    """Read in a snapshot."""
    async with database.reader() as session:
        await session.scalar(BY_NAME, ONE)


async def read_alone(database: Database, _: int) -> None:
    """Read by one statement."""
    async with database.reader(autocommit=True) as session:
        await session.scalar(BY_NAME, ONE)


async def read_in_context(database: Database, _: int) -> None:
    """Read in a context, and write nothing."""
    async with database.context() as context:
        await context.reader.scalar(BY_NAME, ONE)


async def write(database: Database, n: int) -> None:
    """Write a row."""
    async with database.writer() as session:
        await session.execute(ADD, {"n": n})
        await session.commit()


async def fail(database: Database, n: int) -> None:
    """Write a row, and change one's mind."""
    with suppress(ValueError):
        async with database.context() as context:
            await context.writer.execute(ADD, {"n": -n - 1})
            raise ValueError


WAYS: tuple[Request, ...] = (read, read_alone, read_in_context, write, fail)


async def requests(database: Database, admin: Connection) -> bool:
    """Serve requests of each way, and tell what is left of them."""
    numbers = count(await admin.fetchval("SELECT coalesce(max(n), 0) + 1 FROM done"))

    async def work(share: int) -> None:
        for _ in range(share):
            n = next(numbers)
            await WAYS[n % len(WAYS)](database, n)

    async def some(many: int) -> None:
        await asyncio.gather(*(work(many // WORKERS) for _ in range(WORKERS)))

    # Caches fill and modules load at first.
    await some(REQUESTS // 20)
    first = memory_bytes()
    await some(REQUESTS)
    last = memory_bytes()
    left, flat = await left_over(database, admin), last / first
    print(
        f"{REQUESTS} requests: {left}; memory {first / 2**20:.1f} MiB first,"
        f" {last / 2**20:.1f} MiB last, x{flat:.2f}"
        f" (bound x{FLAT:g}: {verdict(flat <= FLAT)})"
    )
    return left == Left(0, 0, 0) and flat <= FLAT


async def cancellations(database: Database, admin: Connection) -> bool:
    """Cancel each of many writers at a random moment."""
    begin: int = await admin.fetchval("SELECT coalesce(max(n), 0) + 1 FROM done")
    numbers, acknowledged = count(begin), set[int]()

    async def one(n: int) -> None:
        async with database.context() as context:
            await context.reader.scalar(BY_NAME, ONE)
            await context.writer.execute(ADD, {"n": n})
        acknowledged.add(n)

    # So long that about half of the requests end before.
    patience_s = 0.1

    async def work(share: int) -> int:
        nonlocal patience_s
        stopped = 0
        for _ in range(share):
            task = asyncio.create_task(one(next(numbers)))
            wait_s = random.uniform(0, patience_s)  # noqa: S311 # no secret
            done, _ = await asyncio.wait([task], timeout=wait_s)
            patience_s *= 0.98 if done else 1.02
            if not done:
                task.cancel()
                stopped += 1
            with suppress(asyncio.CancelledError):
                await task
        return stopped

    stopped = 0
    while stopped < CANCELLED:
        share = max(1, (CANCELLED - stopped) // WORKERS)
        stopped += sum(await asyncio.gather(*(work(share) for _ in range(WORKERS))))
    found = await admin.fetch("SELECT n FROM done WHERE n >= $1", begin)
    lost = len(acknowledged - {row["n"] for row in found})
    left = await left_over(database, admin)
    print(
        f"{stopped} cancellations, {len(acknowledged)} requests that ended first:"
        f" {left}; {lost} acknowledged commits lost"
    )
    # The pools serve on: all of them at once.
    await asyncio.gather(*(read_in_context(database, 0) for _ in range(2 * POOL)))
    return left == Left(0, 0, 0) and lost == 0


class Left(NamedTuple):
    """What is left in use, though nobody uses it."""

    in_pools: int
    on_server: int
    """Sessions of the writer that no pool knows."""
    in_transaction: int

    @override
    def __str__(self) -> str:
        """Say it."""
        return (
            f"leaked from the pools {self.in_pools}, on the server {self.on_server},"
            f" left in transaction {self.in_transaction}"
        )


async def left_over(database: Database, admin: Connection) -> Left:
    """Count what nobody uses any more, and is not free."""
    # The server ends a session a moment after its socket is closed.
    await asyncio.sleep(1)
    pools = [database.pool(role) for role in ("writer", "reader")]
    found = await admin.fetch("""
        SELECT count(*) AS all, count(*) FILTER (WHERE state <> 'idle') AS busy
          FROM pg_catalog.pg_stat_activity
         WHERE backend_type = 'client backend' AND application_name <> 'admin'
    """)
    sessions, busy = found[0]
    # A pool may keep a connection that has ended: it is found out at its next use.
    unknown = max(0, sessions - pools[0].idle)
    return Left(sum(it.in_use for it in pools), unknown, busy)


def memory_bytes() -> int:
    """Return how much memory this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
