"""The lag of a reader against the truth, beside what others say of it.

    python benchmarks/run.py lag-truth

The truth is measured apart: each row's commit is timed where it is written, and a
session on the reader looks every few milliseconds which rows it shows. The lag is the
age of the oldest row that is committed and not shown; where no row is missing, it is 0.
Half of the samples are taken on servers that keep the time of each commit, half on
servers that do not. Beside dbops: Debian's check_postgres with thresholds of time, and
of bytes and time, and now() - pg_last_xact_replay_timestamp().
"""

import asyncio
import os
import re
import shutil
import statistics
import subprocess
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from dbops.engine.connect import Connection, Connector, Connectors, connect
from dbops.limits import Limit, Unit
from dbops.local.replay import delay_apply
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.lag import Lag, lag
from dbops.results import Status, grade
from dbops.settings import load_settings

WARN_S, FAIL_S = 1.0, 3.0
LIMITS: dict[Unit, Limit] = {
    "s": Limit(WARN_S, FAIL_S, "s"),
    "B": Limit(None, None, "B"),
}
NAIVE = "SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8"
CHECK_POSTGRES = {
    "check_postgres": ("1 second", "3 seconds"),
    "same, bytes too": ("1048576 and 1 second", "16777216 and 3 seconds"),
}
_STATES = {0: Status.OK, 1: Status.WARN, 2: Status.FAIL}
# Between a moment and what was seen about it.
_SLACK_S = 0.02


@dataclass
class Truth:
    """What was committed when, and what the reader showed when."""

    commits: list[tuple[float, float]] = field(default_factory=list)
    """Before and after the commit of row 1, 2, …"""
    looks: list[tuple[float, float, int]] = field(default_factory=list)
    """Before and after a look, and the newest row that it showed."""

    def between(self, begin: float, end: float) -> tuple[float, float]:
        """Return the least and the greatest lag that can be true in that time."""
        first = max(bisect_right(self.looks, begin, key=lambda it: it[1]) - 1, 0)
        last = bisect_left(self.looks, end, key=lambda it: it[0])
        seen = self.looks[first : last + 1]
        lows = [self._age(it[2], it[0], it[1])[0] for it in seen]
        highs = [self._age(it[2], it[0], it[1])[1] for it in seen]
        newest = seen[-1][2]
        at_edges = (
            self._age(newest, begin, begin)[0],
            self._age(seen[0][2], end, end)[1],
        )
        return min(*lows, at_edges[0]), max(*highs, at_edges[1])

    def _age(self, shown: int, begin: float, end: float) -> tuple[float, float]:
        if shown >= len(self.commits):
            return 0.0, 0.0
        before, after = self.commits[shown]
        return max(begin - after, 0.0), max(end - before, 0.0)


@dataclass
class Tally:
    """How often each was right in one situation."""

    samples: int = 0
    least_s: float = float("inf")
    most_s: float = 0.0
    held: int = 0
    widths: list[float] = field(default_factory=list)
    right: Counter[str] = field(default_factory=Counter)
    close: Counter[str] = field(default_factory=Counter)


@asynccontextmanager
async def watched(pair: Pair, truth: Truth) -> AsyncGenerator[None]:
    """Look at the reader for the block."""
    session = await connect(pair.reader)
    query = await session.prepare("SELECT coalesce(max(n), 0) FROM book")

    async def look() -> None:
        while True:
            begin = time.time()
            shown = await query.fetchval()
            truth.looks.append((begin, time.time(), shown))
            await asyncio.sleep(0.005)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        await session.close()


async def commit(session: Connection, truth: Truth) -> None:
    """Write a row, and time it."""
    begin = time.time()
    await session.execute("INSERT INTO book VALUES ($1)", len(truth.commits) + 1)
    truth.commits.append((begin, time.time()))


@asynccontextmanager
async def writing(
    pair: Pair, step: Callable[[Connection], Awaitable[None]], pause_s: float
) -> AsyncGenerator[None]:
    """Repeat a step on the writer for the block."""
    session = await connect(pair.writer, command_timeout_s=None)
    is_over = False

    async def write() -> None:
        while not is_over:
            await step(session)
            await asyncio.sleep(pause_s)

    task = asyncio.create_task(write())
    try:
        yield
    finally:
        is_over = True
        await task
        await session.close()


@asynccontextmanager
async def idle(_pair: Pair, _truth: Truth) -> AsyncGenerator[None]:
    """Write nothing, for longer than any threshold."""
    await asyncio.sleep(FAIL_S + 0.5)
    yield


@asynccontextmanager
async def bulk(pair: Pair, _truth: Truth) -> AsyncGenerator[None]:
    """Load rows in one long transaction, and commit nothing."""
    load = "INSERT INTO load SELECT repeat('x', 400) FROM generate_series(1, 300)"

    async def step(session: Connection) -> None:
        if not session.is_in_transaction():
            await session.execute("BEGIN")
        await session.execute(load)

    async with writing(pair, step, 0.05):
        await asyncio.sleep(FAIL_S + 0.5)
        yield


def delayed(delay_s: float) -> Callable[[Pair, Truth], object]:
    """Let the reader apply each commit late."""

    @asynccontextmanager
    async def situation(pair: Pair, truth: Truth) -> AsyncGenerator[None]:
        standby = await connect(pair.reader)
        await delay_apply(standby, delay_s)
        try:
            async with writing(pair, lambda it: commit(it, truth), 0.05):
                await asyncio.sleep(delay_s + 0.3)
                yield
        finally:
            await delay_apply(standby, 0)
            await standby.close()

    return situation


@asynccontextmanager
async def paused(pair: Pair, truth: Truth) -> AsyncGenerator[None]:
    """Stop the replay while rows are written."""
    standby = await connect(pair.reader)
    await standby.execute("SELECT pg_wal_replay_pause()")
    try:
        async with writing(pair, lambda it: commit(it, truth), 0.05):
            yield
    finally:
        await standby.execute("SELECT pg_wal_replay_resume()")
        await standby.close()


SITUATIONS: dict[str, tuple[object, int]] = {
    "idle": (idle, 15),
    "bulk load": (bulk, 15),
    "delay 0.5 s": (delayed(0.5), 15),
    "delay 1.5 s": (delayed(1.5), 15),
    "delay 5 s": (delayed(5.0), 15),
    "paused": (paused, 25),
}


async def sample(
    pair: Pair, ways: tuple[Connector, Connector], truth: Truth, to: Tally
) -> None:
    """Ask everybody once, and compare each with the truth of that moment."""
    found = await lag(*ways, limits=LIMITS)
    begin = time.time()
    session = await connect(pair.reader)
    naive = await session.fetchval(NAIVE)
    await session.close()
    end = time.time()
    said = await asyncio.gather(*(asked(pair, name) for name in CHECK_POSTGRES))
    others = dict(zip(CHECK_POSTGRES, said, strict=True))
    await asyncio.sleep(0.05)
    of_dbops(found, truth, to)
    judge(to, "naive", naive, None, truth.between(begin, end), slack_s=0.5)
    for name, (at, until, status, value) in others.items():
        judge(to, name, value, status, truth.between(at, until), slack_s=1.0)


def of_dbops(found: Lag, truth: Truth, to: Tally) -> None:
    """Compare the bounds with the truth of the moment that they are for."""
    assert found.as_of is not None, found  # noqa: S101
    assert found.lag_low_s is not None, found  # noqa: S101
    at = found.as_of.timestamp()
    low, high = truth.between(at - _SLACK_S, at + _SLACK_S)
    to.samples += 1
    to.least_s, to.most_s = min(to.least_s, low), max(to.most_s, high)
    bound = float("inf") if found.lag_high_s is None else found.lag_high_s
    holds = found.lag_low_s <= high and low <= bound
    to.held += holds
    if not holds:
        print(f"  MISSED: {low:.3f} to {high:.3f} s, and dbops said: {found.summary}")
    if found.lag_high_s is not None:
        to.widths.append(found.lag_high_s - found.lag_low_s)
    to.right["dbops"] += found.freshness_status in verdicts(low, high)


def judge(
    to: Tally,
    name: str,
    value: float | None,
    status: Status | None,
    real: tuple[float, float],
    *,
    slack_s: float,
) -> None:
    """Count whether a number is close to the truth, and a verdict right."""
    if value is not None:
        to.close[name] += real[0] - slack_s <= value <= real[1] + slack_s
    if status is None:
        status = grade(value, warn=WARN_S, fail=FAIL_S)
    to.right[name] += status in verdicts(*real)


def verdicts(low_s: float, high_s: float) -> set[Status]:
    """Return every verdict that the truth allows; near a threshold, both."""
    values = (low_s - 0.1, low_s, high_s, high_s + 0.1)
    return {grade(it, warn=WARN_S, fail=FAIL_S) for it in values}


async def asked(pair: Pair, name: str) -> tuple[float, float, Status, float | None]:
    """Run check_postgres; return when, its verdict, and its number of seconds."""
    warn, fail = CHECK_POSTGRES[name]
    ports = (pair.writer.addresses[0].port, pair.reader.addresses[0].port)
    password = pair.writer.password
    begin = time.time()
    process = await asyncio.create_subprocess_exec(
        "check_postgres",
        "--action=hot_standby_delay",
        "--dbhost=127.0.0.1,127.0.0.1",
        f"--dbport={ports[0]},{ports[1]}",
        f"--dbuser={pair.writer.user}",
        "--dbname=postgres",
        f"--warning={warn}",
        f"--critical={fail}",
        env={
            "PATH": os.defpath,
            "PGPASSWORD": password.get_secret_value() if password else "",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    said, _ = await process.communicate()
    number = re.search(r"time_delay=(\d+)", said.decode())
    status = _STATES.get(process.returncode or 0, Status.UNKNOWN)
    return begin, time.time(), status, float(number[1]) if number else None


async def measured(rounds: int) -> dict[str, Tally]:
    """Take every sample."""
    tallies = {name: Tally() for name in SITUATIONS}
    for dates in ("on", "off"):
        async with throwaway(settings={"track_commit_timestamp": dates}) as pair:
            await prepare(pair)
            places = {
                "database_url": pair.writer.url(show_password=True),
                "database_reader_url": pair.reader.url(show_password=True),
            }
            to = Connectors(load_settings(flags=places))
            ways = to.connector("writer"), to.connector("reader")
            truth = Truth()
            async with watched(pair, truth):
                for name, (situation, number) in SITUATIONS.items():
                    async with situation(pair, truth):  # type: ignore[operator] # one of the above
                        for _ in range(number * rounds):
                            await sample(pair, ways, truth, tallies[name])
                    await caught_up(pair)
    return tallies


async def prepare(pair: Pair) -> None:
    """Make the tables, and wait until the reader has them."""
    session = await connect(pair.writer)
    await session.execute("CREATE TABLE book (n int PRIMARY KEY)")
    await session.execute("CREATE TABLE load (t text)")
    await session.close()
    await caught_up(pair)


async def caught_up(pair: Pair) -> None:
    """Wait until the reader has replayed everything."""
    writer, reader = await connect(pair.writer), await connect(pair.reader)
    await writer.execute("SELECT pg_logical_emit_message(true, '', '')")
    token = await writer.fetchval("SELECT pg_current_wal_flush_lsn()::text")
    while not await reader.fetchval(f"SELECT pg_last_wal_replay_lsn() >= '{token}'"):
        await asyncio.sleep(0.02)
    await writer.close()
    await reader.close()


def bench_lag(rounds: int) -> bool:
    """Two hundred samples of the lag, each beside the truth."""
    if shutil.which("check_postgres") is None:
        print("lag-truth needs check_postgres (Debian's package check-postgres)")
        return False
    print(
        f"lag against the truth; verdicts with thresholds of {WARN_S:g} s and "
        f"{FAIL_S:g} s\n  (held: the truth lies between dbops' bounds; close: within "
        "0.5 s, for check_postgres 1 s)\n"
    )
    tallies = asyncio.run(measured(rounds))
    heads = ("held", "width", "right", "close", "right", "close", "right", "right")
    print(f"{'':26}{'dbops':>20}{'naive':>16}{'check_postgres':>18}{'bytes too':>11}")
    print(f"  {'situation':<13}{'truth':>12}" + "".join(f"{it:>8}" for it in heads))
    for name, it in tallies.items():
        print(_line(name, it))
    total = sum(it.samples for it in tallies.values())
    held = sum(it.held for it in tallies.values())
    print(f"\n  the truth lay between the bounds in {held} of {total} samples")
    return held == total


def _line(name: str, it: Tally) -> str:
    real = f"{it.least_s:.1f}-{it.most_s:.1f} s"
    width = f"{statistics.median(it.widths):.2f}s" if it.widths else "-"
    cells = [
        f"{it.held}/{it.samples}",
        width,
        f"{it.right['dbops']}",
        f"{it.close['naive']}",
        f"{it.right['naive']}",
        f"{it.close['check_postgres']}",
        f"{it.right['check_postgres']}",
        f"{it.right['same, bytes too']}",
    ]
    return f"  {name:<13}{real:>12}" + "".join(f"{cell:>8}" for cell in cells)
