"""An application's sessions, beside those of others in the same run.

    python benchmarks/run.py engine

Round trips are counted at the wire, and are exact: a request on a connection that was
used a moment ago, one that rested for a second, and what the writer was asked besides.
Throughput is that of a closed loop of so many workers, each rival for a slice of time
in turns, whose order rotates; a ratio is the median of the ratios round by round. The
servers share the processors with the program, so that on a socket most of it is
Python's own time; the slow network adds half a millisecond each way.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import NamedTuple

from benchmarks.engine_network import slow_network
from benchmarks.engine_rivals import (
    ALONE,
    ARTICLE,
    CONTEXT,
    READ,
    RIVALS,
    SNAPSHOT,
    Article,
    Place,
    Request,
    of_dbops,
    snapshot,
)
from benchmarks.turns import verdict
from dbops.endpoint import Address
from dbops.engine.connect import connect
from dbops.engine.database import Database
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from tests.faults.proxy import proxy

CONCURRENCY = (1, 8, 32)
DELAY_S, SLICE_S, REST_S = 0.0005, 0.2, 1.0
TRIPS = {SNAPSHOT: 3, ALONE: 1}
ON_SOCKET = {SNAPSHOT: 1.5, ALONE: 2.5}
WITH_DELAY = {SNAPSHOT: 1.5, ALONE: 4.5}
WARMED, WARM_BOUND = 20, 0.6
WORKERS, CONNECTIONS, FAIR_S = 32, 6, 3.0


def bench_engine(rounds: int) -> bool:
    """Round trips, throughput, the opening of a pool, and its fairness."""

    async def measured() -> bool:
        async with throwaway(settings={"max_connections": "500"}) as pair:
            await fill(pair)
            good = [await round_trips(pair)]
            async with on_socket(pair) as place:
                good.append(await throughputs("a socket", place, rounds, ON_SOCKET))
                good.append(await warming("a socket", place, rounds))
                good.append(await fairness(place))
            async with with_delay(pair) as place:
                where = f"{DELAY_S * 1000:g} ms each way"
                good.append(await throughputs(where, place, rounds, WITH_DELAY))
                good.append(await warming(where, place, rounds))
        return all(good)

    return asyncio.run(measured())


async def fill(pair: Pair) -> None:
    """Make a table of books, and wait until the standby has it."""
    admin = await connect(pair.writer)
    await admin.execute("CREATE TABLE book (n int PRIMARY KEY, title text)")
    await admin.execute("INSERT INTO book SELECT n, 'a' FROM generate_series(1, 99) n")
    await admin.close()
    standby = await connect(pair.reader)
    while await standby.fetchval("SELECT to_regclass('book')") is None:
        await asyncio.sleep(0.01)
    while await standby.fetchval(READ.format(99)) is None:
        await asyncio.sleep(0.01)
    await standby.close()


@asynccontextmanager
async def on_socket(pair: Pair) -> AsyncGenerator[Place]:
    """Lead to the servers' Unix sockets."""
    admin = await connect(pair.writer)
    folder = await admin.fetchval("SHOW unix_socket_directories")
    await admin.close()
    writer, reader = (
        replace(it, addresses=(Address(folder.strip('"'), it.addresses[0].port),))
        for it in (pair.writer, pair.reader)
    )
    yield Place(writer, reader, size=max(CONCURRENCY))


@asynccontextmanager
async def with_delay(pair: Pair) -> AsyncGenerator[Place]:
    """Lead to both servers through a slow network."""
    async with (
        slow_network(pair.writer, DELAY_S) as writer,
        slow_network(pair.reader, DELAY_S) as reader,
    ):
        yield Place(writer, reader, size=max(CONCURRENCY))


async def round_trips(pair: Pair) -> bool:
    """Count what each rival asks for one read."""
    print("round trips of one read, at the wire")
    print(f"  {'':<24} warm  rested  of it the writer's")
    good = True
    async with proxy(pair.writer) as writer, proxy(pair.reader) as reader:
        place = Place(writer.before(pair.writer), reader.before(pair.reader), size=1)
        for name, rival in RIVALS.items():
            async with rival(place) as request:
                for _ in range(3):
                    await request()
                counts = []
                for rest_s in (0.0, REST_S):
                    await asyncio.sleep(rest_s)
                    before = writer.round_trips, reader.round_trips
                    await request()
                    # A goodbye is counted as well, where there is one.
                    await asyncio.sleep(0.05)
                    mine = writer.round_trips - before[0]
                    counts.append((mine, mine + reader.round_trips - before[1]))
            (written, warm), (_, rested) = counts
            bound = TRIPS.get(name)
            holds = bound is None or (warm, written) == (bound, 0)
            holds = holds and not (name == CONTEXT and written)
            good = good and holds
            print(
                f"  {name:<24} {warm:4}  {rested:6}  {written:4}"
                + (f"  (bound {bound}: {verdict(holds)})" if bound else "")
            )
    return good


class Rate(NamedTuple):
    """What one slice of time has shown."""

    a_second: float
    cpu_s: float
    """Processor time of this process, for one request."""


async def throughputs(
    where: str, place: Place, rounds: int, bounds: Mapping[str, float]
) -> bool:
    """Let each rival serve a closed loop of workers, in turns."""
    good = True
    async with AsyncExitStack() as stack:
        requests = {
            name: await stack.enter_async_context(rival(place))
            for name, rival in RIVALS.items()
        }
        for workers in CONCURRENCY:
            print(f"reads a second on {where}, {workers} at once")
            rates = await in_turns(requests, workers, rounds)
            # Many at once wait for the processor, and hardly for the network.
            judged = bounds if workers == 1 or bounds is ON_SOCKET else {}
            good = compared(rates, judged) and good
    return good


async def in_turns(
    requests: Mapping[str, Request], workers: int, rounds: int
) -> dict[str, list[Rate]]:
    """Measure requests a second; one round warms up and is not counted."""
    names = list(requests)
    rates: dict[str, list[Rate]] = {name: [] for name in names}
    for number in range(rounds + 1):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            began, used = time.perf_counter(), time.process_time()
            served = sum(await serve(requests[name], workers, SLICE_S))
            spent = time.perf_counter() - began
            if number:
                used = time.process_time() - used
                rates[name].append(Rate(served / spent, used / served))
    return rates


async def serve(request: Request, workers: int, length_s: float) -> list[int]:
    """Let workers ask again and again; return how often each was served."""
    until = time.perf_counter() + length_s

    async def work() -> int:
        served = 0
        while time.perf_counter() < until:
            await request()
            served += 1
        return served

    return await asyncio.gather(*(work() for _ in range(workers)))


def compared(rates: Mapping[str, list[Rate]], bounds: Mapping[str, float]) -> bool:
    """Print each rival beside the article; tell whether every bound holds."""
    good = True
    for name, found in rates.items():
        ratio = statistics.median(
            mine.a_second / peer.a_second
            for mine, peer in zip(found, rates[ARTICLE], strict=True)
        )
        a_second = statistics.median(it.a_second for it in found)
        cpu_us = statistics.median(it.cpu_s for it in found) * 1e6
        bound = bounds.get(name)
        holds = bound is None or ratio >= bound
        good = good and holds
        print(
            f"  {name:<24} median {a_second:6.0f} /s {cpu_us:6.0f} us  x{ratio:5.2f}"
            + (f"  (bound x{bound:g}: {verdict(holds)})" if bound else "")
        )
    return good


async def warming(where: str, place: Place, rounds: int) -> bool:
    """Open a pool's connections at once, and another's one after another."""
    ratios, spent = [], []
    for _ in range(rounds):
        times = []
        for at_once in (True, False):
            settings = replace(place, size=WARMED).settings()
            settings = settings.model_copy(update={"database_reader_url": None})
            async with Database(settings) as database:
                # Once: what belongs to the engine and not to a connection.
                async with database.engine("writer").connect():
                    pass
                await database.engine("writer").dispose()
                began = time.perf_counter()
                if at_once:
                    await database.warm()
                else:
                    await one_after_another(database)
                times.append(time.perf_counter() - began)
        ratios.append(times[0] / times[1])
        spent.append(times)
    ratio, first = statistics.median(ratios), statistics.median(it[0] for it in spent)
    print(
        f"{WARMED} connections on {where}: at once {first * 1000:.0f} ms, x{ratio:.2f}"
        f" of one after another (bound x{WARM_BOUND:g}: {verdict(ratio <= WARM_BOUND)})"
    )
    return ratio <= WARM_BOUND


async def one_after_another(database: Database) -> None:
    """Open as many connections as the writer's pool keeps."""
    async with AsyncExitStack() as stack:
        for _ in range(WARMED):
            await stack.enter_async_context(database.engine("writer").connect())


async def fairness(place: Place) -> bool:
    """Let many workers share few connections."""
    print(f"{WORKERS} workers on {CONNECTIONS} connections, {FAIR_S:g} s")
    few = replace(place, size=CONNECTIONS)
    good = True
    for name in (ARTICLE, SNAPSHOT):
        if name == ARTICLE:
            made = Article(few)
            served = await serve(made.request, WORKERS, FAIR_S)
            for engine in made.engines:
                await engine.dispose()
        else:
            async with of_dbops(snapshot)(few) as request:
                served = await serve(request, WORKERS, FAIR_S)
        fair = statistics.mean(served)
        starved = sum(it < fair / 10 for it in served)
        holds = starved == 0
        good = good and (holds or name == ARTICLE)
        print(
            f"  {name:<24} {sum(served):6} served; of a fair share the least busy got"
            f" {min(served) / fair:.2f}, the busiest {max(served) / fair:.2f};"
            f" starved {starved}"
            + (f"  (bound 0: {verdict(holds)})" if name != ARTICLE else "")
        )
    return good
