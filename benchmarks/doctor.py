"""The doctor on a large schema: its time beside that of its own statements.

    python benchmarks/run.py doctor

A pair with 2 000 tables, 6 000 indexes and 2 000 sequences. What the servers say that
they spent on the doctor's statements (their logs: parse, bind and execute of each) is
the peer. Both servers are asked at once, so that less than their sum may pass; Python's
start comes on top of it. Some checks compare two samples and wait a second between
them: all is shown with that second and without.
"""

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr

from benchmarks.turns import environment, verdict
from dbops.endpoint import Endpoint
from dbops.engine.connect import connect
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway

TABLES = 2000
BOUND = 1.5
MOST_CONNECTIONS = 2
ROLE = "doctor"
# https://www.postgresql.org/docs/current/runtime-config-logging.html#GUC-LOG-MIN-DURATION-STATEMENT
SPENT = re.compile(rb"duration: ([0-9.]+) ms  (parse|bind|execute|statement)")
TABLE = """
    CREATE TABLE many.t{n} (id bigserial PRIMARY KEY, a int, b text, c timestamptz);
    CREATE INDEX ON many.t{n} (a);
    CREATE INDEX ON many.t{n} (b, c);
    INSERT INTO many.t{n} (a, b) SELECT n, 'b' FROM generate_series(1, 10) n;
"""
SESSIONS = "SELECT sessions FROM pg_catalog.pg_stat_database WHERE datname = 'large'"


# From the settings to the answer, without Python's start and our imports.
INSIDE = """
import asyncio, json, sys, time
from dbops.engine.connect import Connectors
from dbops.operations.doctor import doctor
from dbops.settings import load_settings
async def main():
    started = time.perf_counter()
    settings = load_settings(flags={"interval": sys.argv[1]})
    answer = await doctor(Connectors(settings))
    spent_ms = (time.perf_counter() - started) * 1000
    print(json.dumps({"status": str(answer.status), "ms": spent_ms}))
asyncio.run(main())
"""


class Run(NamedTuple):
    """One doctor, from outside and from the servers."""

    spent_ms: float
    server_ms: float
    statements: int
    connections: int
    memory_mib: float
    status: str


async def build(writer: Endpoint) -> None:
    """Make the large database, and the role that asks."""
    admin = await connect(writer, command_timeout_s=None)
    await admin.execute(
        f"CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}'"
        " IN ROLE pg_monitor, pg_read_all_data"
    )
    await admin.execute(f"ALTER ROLE {ROLE} SET log_min_duration_statement = 0")
    await admin.execute("CREATE DATABASE large TEMPLATE template0")
    await admin.close()
    large = await connect(writer.with_database("large"), command_timeout_s=None)
    await large.execute("CREATE SCHEMA many")
    for first in range(0, TABLES, 100):
        numbers = range(first, first + 100)
        await large.execute("".join(TABLE.format(n=number) for number in numbers))
    await large.execute("VACUUM ANALYZE")
    await large.close()


def url(endpoint: Endpoint) -> str:
    """Write where the doctor goes, as its own role."""
    there = replace(endpoint, user=ROLE, password=SecretStr(ROLE), database="large")
    return there.url(show_password=True)


async def asked(endpoint: Endpoint, query: str) -> Mapping[str, Any]:
    """Ask a server about itself, from another database than the doctor's."""
    connection = await connect(endpoint)
    row = await connection.fetchrow(query)
    await connection.close()
    assert row is not None  # noqa: S101 # an aggregate
    return dict(row)


def timed(words: Sequence[str], env: Mapping[str, str]) -> tuple[float, float, str]:
    """Run to the end; return milliseconds, the peak of its memory in MiB, its words."""
    started = time.perf_counter()
    process = subprocess.Popen(words, env=dict(env), stdout=subprocess.PIPE)
    assert process.stdout is not None  # noqa: S101 # a pipe was asked for
    out = process.stdout.read()
    _, _, used = os.wait4(process.pid, 0)
    spent_ms = (time.perf_counter() - started) * 1000
    process.stdout.close()
    process.returncode = 0
    if not out:
        raise SystemExit(f"no answer from: {' '.join(words)}")
    return spent_ms, used.ru_maxrss / 1024, out.decode()


def read(log: Path, start: int) -> tuple[float, int]:
    """Return the milliseconds and the number of statements that a log tells of."""
    with log.open("rb") as file:
        file.seek(start)
        told_of = SPENT.findall(file.read())
    statements = sum(kind in (b"execute", b"statement") for _, kind in told_of)
    return sum(float(ms) for ms, _ in told_of), statements


async def one(pair: Pair, words: Sequence[str], env: Mapping[str, str]) -> Run:
    """Run the doctor once, and ask the servers what it has cost them."""
    servers = (pair.writer, pair.reader)
    folders = [(await asked(it, "SHOW data_directory")) for it in servers]
    logs = [Path(f"{it['data_directory']}.log") for it in folders]
    starts = [log.stat().st_size for log in logs]
    before = [(await asked(it, SESSIONS))["sessions"] for it in servers]
    whole_ms, memory, out = await asyncio.to_thread(timed, words, env)
    # A session counts itself when it ends, and tells so a moment later.
    await asyncio.sleep(1.2)
    spent = [read(log, start) for log, start in zip(logs, starts, strict=True)]
    after = [(await asked(it, SESSIONS))["sessions"] for it in servers]
    answer = json.loads(out)
    return Run(
        answer.get("ms", whole_ms),
        sum(ms for ms, _ in spent),
        sum(statements for _, statements in spent),
        sum(after) - sum(before),
        memory,
        answer["status"],
    )


def told(name: str, runs: Sequence[Run], *, is_bound: bool) -> bool:
    """Print the medians of one way; tell whether the bounds hold."""
    ratio = statistics.median(it.spent_ms / it.server_ms for it in runs)
    connections = max(it.connections for it in runs)
    bound = f"  (bound x{BOUND:g}: {verdict(ratio <= BOUND)})" if is_bound else ""
    print(
        f"  {name:<38} median {statistics.median(it.spent_ms for it in runs):7.1f} ms"
        f"  statements {statistics.median(it.server_ms for it in runs):7.1f} ms"
        f"  x{ratio:5.2f}{bound}"
    )
    print(
        f"  {'':<38} {max(it.statements for it in runs)} statements,"
        f" {connections} connections"
        f" (at most {MOST_CONNECTIONS}: {verdict(connections <= MOST_CONNECTIONS)}),"
        f" peak memory {max(it.memory_mib for it in runs):.0f} MiB,"
        f" status {'/'.join(sorted({it.status for it in runs}))}"
    )
    return connections <= MOST_CONNECTIONS and (not is_bound or ratio <= BOUND)


async def measured(rounds: int) -> bool:
    """Build, run, tell."""
    good = True
    async with throwaway() as pair:
        await build(pair.writer)
        env = environment(
            DATABASE_URL=url(pair.writer), DATABASE_READER_URL=url(pair.reader)
        )
        inside = [sys.executable, "-c", INSIDE]
        whole = [sys.executable, "-m", "dbops", "doctor", "--format", "json"]
        ways = {
            "the doctor": ([*inside, "1ms"], True),
            "the doctor, 1 s between two samples": ([*inside, "1s"], False),
            "the process": ([*whole, "--interval", "1ms"], False),
            "the process, 1 s between two samples": (whole, False),
        }
        for name, (words, is_bound) in ways.items():
            runs = [await one(pair, words, env) for _ in range(rounds + 1)][1:]
            good = told(name, runs, is_bound=is_bound) and good
    return good


def bench_doctor(rounds: int) -> bool:
    """Print how long the doctor takes, beside its own statements."""
    print(f"dbops doctor on {TABLES} tables and {3 * TABLES} indexes")
    return asyncio.run(measured(rounds))
