"""Migrators that race and are killed: `dbops migrate`, and bare Alembic beside it.

`python benchmarks/run.py migrators killed-migrators` runs what is here. Each process is
one fault; the projects are those of the tests in tests/faults.
"""

import asyncio
import random
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import override

from benchmarks.turns import verdict
from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, connect
from dbops.local.throwaway import throwaway
from tests.conftest import Ran, Served
from tests.faults.migrators import (
    COUNT,
    VARIANTS,
    Migrator,
    fresh,
    migrator,
    write_project,
)
from tests.revisions import write_revision

RACING = 8
KINDS = ("psycopg", "asyncpg", "dbops init's")
COMMANDS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "dbops migrate": (("dbops", "migrate", "--format", "json"), KINDS),
    # The third kind takes its connection from dbops.
    "alembic upgrade head": (("alembic", "upgrade", "head"), KINDS[:2]),
}
HUNG = -signal.SIGKILL
TAKEOVER_BOUND_S, LATEST_KILL_S = 2.0, 1.2
# Whoever comes late finds the work done; so that they meet, the step takes a while.
SLOW = "op.execute('SELECT pg_sleep(0.1)')"

# What is there once b2 is applied, and how often the counter was changed.
FOUND = """
SELECT (SELECT version_num FROM alembic_version),
       (SELECT n FROM counter),
       EXISTS (SELECT FROM pg_catalog.pg_attribute
                WHERE attrelid = 'counter'::regclass AND attname = 'x'),
       (SELECT indisvalid FROM pg_catalog.pg_index
         WHERE indexrelid = to_regclass('counter_n')),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_index WHERE NOT indisvalid)
"""
HOLDER = """
SELECT l.pid FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_database d ON d.oid = l.database
 WHERE l.locktype = 'advisory' AND l.granted
   AND d.datname = pg_catalog.current_database()
"""


@dataclass(slots=True)
class Score:
    """How often what happened."""

    faults: int = 0
    survived: int = 0
    """Processes that ended with exit 0 although others raced or were killed."""
    lost: int = 0
    """Databases that lack a step."""
    duplicated: int = 0
    """Databases in which a step was done twice."""
    hung: int = 0
    invalid: int = 0
    """Databases with an invalid index."""
    takeovers_s: list[float] = field(default_factory=list)

    def note(self, ended: Sequence[Ran]) -> None:
        """Count how processes ended."""
        self.faults += len(ended)
        self.survived += sum(it.code == 0 for it in ended)
        self.hung += sum(it.code == HUNG for it in ended)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was harmed."""
        harm = self.lost + self.duplicated + self.hung + self.invalid
        return harm == 0 and self.survived == self.faults

    @override
    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.faults} faults, {self.survived} survived, {self.lost} lost, "
            f"{self.duplicated} duplicated, {self.hung} hung, "
            f"{self.invalid} invalid indexes"
        )


def bench_migrators(rounds: int) -> bool:
    """Eight processes at once apply one step, as often as `rounds` for each kind."""
    print(f"{RACING} processes at once, {rounds} rounds of each step")

    async def measured() -> bool:
        good = True
        async with throwaway(settings={"max_connections": "200"}) as pair:
            for name in COMMANDS:
                total = Score()
                for variant in VARIANTS:
                    score = Score()
                    for number in range(rounds):
                        await race(name, variant, number, pair.writer, (score, total))
                    print(f"  {name:<22} {variant:<20} {score}", flush=True)
                print(f"  {name:<22} {'all':<20} {total}")
                if name.startswith("dbops"):
                    good = total.is_clean
        print(f"  every dbops ends with 0, each step once: {verdict(good)}")
        return good

    return asyncio.run(measured())


async def race(
    name: str, variant: str, number: int, server: Endpoint, scores: Sequence[Score]
) -> None:
    """Let eight apply the step `variant` to a database that has the one before."""
    command, kinds = COMMANDS[name]
    with tempfile.TemporaryDirectory() as folder:
        async with fresh(server) as served:
            project = _project(Path(folder), kinds[number % len(kinds)], served)
            await migrator(project, served).ended()
            step = f"{SLOW}\n{VARIANTS[variant].strip()}"
            if variant == "concurrently":
                step = VARIANTS[variant]
            write_revision(project, "b2", "a1", step)
            racing = [migrator(project, served, command=command) for _ in range(RACING)]
            ended = await asyncio.gather(*(it.ended() for it in racing))
            connection = await connect(served.writer)
            row = await connection.fetchrow(FOUND)
            await connection.close()
    assert row is not None  # the query has no FROM  # noqa: S101
    version, counter, has_column, index_is_valid, invalid = row
    is_there = {
        "plain": has_column,
        "concurrently": index_is_valid is not None,
    }.get(variant, counter > 0)
    for score in scores:
        score.note(ended)
        score.lost += not (is_there and version == "b2")
        score.duplicated += counter > 1
        score.invalid += invalid > 0


def bench_killed(rounds: int) -> bool:
    """Kill the first of two at a random point: the other has to finish the work."""
    print(f"kill -9 of the first of two migrators at {rounds} random points")

    async def measured() -> bool:
        good = True
        async with throwaway(settings={"max_connections": "200"}) as pair:
            for name in COMMANDS:
                score = Score()
                for number in range(rounds):
                    await kill(name, number, pair.writer, score)
                slowest = max(score.takeovers_s, default=0.0)
                print(
                    f"  {name:<22} {score}; {len(score.takeovers_s)} killed with the "
                    f"lock, taken over within {slowest:.2f} s",
                    flush=True,
                )
                if name.startswith("dbops"):
                    good = score.is_clean and slowest <= TAKEOVER_BOUND_S
        print(f"  dbops: all converge, takeover <= {TAKEOVER_BOUND_S:g} s: ", end="")
        print(verdict(good))
        return good

    return asyncio.run(measured())


async def kill(name: str, number: int, server: Endpoint, score: Score) -> None:
    """Kill one and let another finish; the counter has to be changed three times."""
    command, kinds = COMMANDS[name]
    with tempfile.TemporaryDirectory() as folder:
        async with fresh(server) as served:
            project = _project(Path(folder), kinds[number % len(kinds)], served)
            for down, up in zip("abc", "bcd", strict=True):
                write_revision(project, f"{up}1", f"{down}1", f"{SLOW}\n{COUNT}")
            watcher = await connect(served.writer)
            first = migrator(project, served, command=command)
            await asyncio.sleep(random.uniform(0, LATEST_KILL_S))  # noqa: S311 # no secret
            second = migrator(project, served, command=command)
            holder = await watcher.fetchval(HOLDER)
            first.send(signal.SIGKILL)
            waiting = asyncio.ensure_future(takeover(watcher, holder, second))
            killed, last = await first.ended(), await second.ended()
            taken_over_s = await waiting
            found = await watcher.fetchrow(
                "SELECT n, version_num FROM counter, alembic_version"
            )
            await watcher.close()
    score.note([last])
    counter, version = found or (0, None)
    score.lost += counter < 3 or version != "d1"  # noqa: PLR2004 # revisions that count
    score.duplicated += counter > 3  # noqa: PLR2004 # same
    if killed.code == HUNG and taken_over_s is not None:
        score.takeovers_s.append(taken_over_s)


async def takeover(
    watcher: Connection, holder: int | None, second: Migrator
) -> float | None:
    """Return how long it took until somebody else had the lock; None if nobody did."""
    started = time.perf_counter()
    if holder is None:
        return None
    while second.is_running:
        now = await watcher.fetchval(HOLDER)
        if now is not None and now != holder:
            return time.perf_counter() - started
        await asyncio.sleep(0.01)
    return None


def _project(folder: Path, kind: str, served: Served) -> Path:
    """Write a project that leads to the database also without dbops."""
    url = None if kind == "dbops init's" else served.environment["DATABASE_URL"]
    return write_project(folder, kind, url)
