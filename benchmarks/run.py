"""What dbops claims, measured beside a peer in the same run.

    python benchmarks/run.py            everything
    python benchmarks/run.py ping help  some of it

Each figure is a whole process from outside; how they are compared is told in turns.py.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

from benchmarks.doctor import bench_doctor
from benchmarks.engine import bench_engine
from benchmarks.engine_leaks import bench_leaks
from benchmarks.fleet import bench_fleet
from benchmarks.lag import bench_lag
from benchmarks.migrate import bench_nothing, bench_reads, bench_revisions
from benchmarks.migrators import bench_killed, bench_migrators
from benchmarks.ping import bench_targets
from benchmarks.turns import (
    compared,
    environment,
    in_turns,
    slow_imports,
    urls,
    verdict,
)
from dbops.endpoint import Endpoint
from dbops.engine.connect import connect
from dbops.local.throwaway import throwaway

BARE_ASYNCPG = """
import asyncio, os, asyncpg
async def one(name):
    connection = await asyncpg.connect(os.environ[name])
    await connection.fetchrow("SELECT pg_is_in_recovery(), version()")
    await connection.close()
async def main():
    await asyncio.gather(one("DATABASE_URL"), one("DATABASE_READER_URL"))
asyncio.run(main())
"""
EMPTY_TYPER = """
import typer
app = typer.Typer()
@app.command()
def main() -> None: ...
app()
"""


def bench_ping(rounds: int) -> bool:
    """Whole processes: both endpoints, against a bare asyncpg script."""
    print("ping --writer --reader, against a bare asyncpg script that connects to both")

    async def measured() -> bool:
        async with throwaway() as pair:
            env = environment(**urls(pair))
            words = [sys.executable, "-m", "dbops", "ping", "--writer", "--reader"]
            commands = {
                "bare asyncpg": [sys.executable, "-c", BARE_ASYNCPG],
                "dbops ping --format json": [*words, "--format", "json"],
                "dbops ping": words,
            }
            times = await asyncio.to_thread(in_turns, commands, env, rounds)
            loaded = await asyncio.to_thread(slow_imports, words, env)
        bounds = {"dbops ping --format json": 2.5, "dbops ping": 3.0}
        good = compared(times, "bare asyncpg", bounds)
        print(f"  slow packages imported on that path: {', '.join(loaded) or 'none'}")
        return good and not loaded

    return asyncio.run(measured())


def bench_help(rounds: int) -> bool:
    """`dbops --help` against the help of an empty typer application."""
    print("dbops --help, against an empty typer application's")
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY_TYPER)
        commands = {
            "empty typer --help": [sys.executable, str(empty), "--help"],
            "dbops --help": [sys.executable, "-m", "dbops", "--help"],
        }
        times = in_turns(commands, environment(), rounds)
    return compared(times, "empty typer --help", {"dbops --help": 2.0})


def bench_pair(rounds: int) -> bool:
    """From nothing to a row that was written on the writer and read on the standby."""
    print("the pair, from nothing to a row read on the standby")
    good = True
    for template, bound_s in ((False, 2.0), (True, 1.0)):
        spent = asyncio.run(pair_times(rounds, template=template))
        median = statistics.median(spent)
        holds = median <= bound_s
        good = good and holds
        name = "from the cached template" if template else "with initdb"
        print(
            f"  {name:<28} median {median:5.2f} s  min {min(spent):5.2f}"
            f"  max {max(spent):5.2f}  (bound {bound_s:g} s: {verdict(holds)})"
        )
    return good


async def pair_times(rounds: int, *, template: bool) -> list[float]:
    """Start, write, read; one round makes the template and is not counted."""
    times = []
    for number in range(rounds + 1):
        started = time.perf_counter()
        async with throwaway(template=template) as pair:
            await write_and_read(pair.writer, pair.reader)
            if number:
                times.append(time.perf_counter() - started)
    return times


async def write_and_read(writer: Endpoint, reader: Endpoint) -> None:
    """Write a row on the writer and wait until the standby shows it."""
    primary = await connect(writer)
    await primary.execute("CREATE TABLE row AS SELECT 1 AS n")
    await primary.close()
    standby = await connect(reader)
    while await standby.fetchval("SELECT pg_catalog.to_regclass('row')") is None:
        await asyncio.sleep(0.001)
    assert await standby.fetchval("SELECT n FROM row") == 1  # noqa: S101
    await standby.close()


def bench_create_db(rounds: int) -> bool:
    """Twenty processes at once create one name; one of them creates it."""
    print(f"dbops create-db, 20 processes at once on one name, {rounds} rounds")

    async def measured() -> tuple[int, int, int]:
        async with throwaway(settings={"max_connections": "200"}) as pair:
            env = environment(**urls(pair))
            results = [await race(env) for _ in range(rounds)]
        exits = sum(exits for exits, _ in results)
        return exits, sum(created == 1 for _, created in results), len(results)

    exits, once, total = asyncio.run(measured())
    print(f"  exit 0: {exits}/{total * 20}   created exactly once: {once}/{total}")
    return exits == total * 20 and once == total


async def race(env: Mapping[str, str]) -> tuple[int, int]:
    """Run twenty at once; return how many exited 0 and how many created it."""
    name = f"race_{uuid4().hex}"
    words = [sys.executable, "-m", "dbops", "create-db", name, "--format", "json"]
    processes = [
        await asyncio.create_subprocess_exec(
            *words, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(20)
    ]
    outputs = await asyncio.gather(*(process.communicate() for process in processes))
    exits = sum(process.returncode == 0 for process in processes)
    created = sum(bool(json.loads(out)["result"]["created"]) for out, _ in outputs)
    return exits, created


BENCHMARKS: dict[str, tuple[Callable[[int], bool], int]] = {
    "pair": (bench_pair, 7),
    "ping": (bench_ping, 15),
    "ping-targets": (bench_targets, 5),
    "help": (bench_help, 15),
    "create-db": (bench_create_db, 50),
    "migrate-nothing": (bench_nothing, 9),
    "migrate": (bench_revisions, 5),
    "migrate-reads": (bench_reads, 3),
    "fleet": (bench_fleet, 1),
    "migrators": (bench_migrators, 25),
    "killed-migrators": (bench_killed, 100),
    "doctor": (bench_doctor, 7),
    "lag-truth": (bench_lag, 1),
    "engine": (bench_engine, 15),
    "engine-leaks": (bench_leaks, 1),
}


def main() -> int:
    """Run what was asked for; exit 1 when a bound was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []])
    parser.add_argument("--rounds", type=int, help="instead of each one's own number")
    options = parser.parse_args()
    good = True
    for name in options.names or BENCHMARKS:
        bench, rounds = BENCHMARKS[name]
        good = bench(options.rounds or rounds) and good
        print()
    load = os.getloadavg()[0]
    print(f"load average at the end: {load:.1f} on {os.cpu_count()} processors")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
