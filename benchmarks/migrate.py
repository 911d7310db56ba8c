"""`dbops migrate` beside `alembic upgrade head`, on the same projects.

The projects are Alembic's own templates, generic (with psycopg) and async (with
asyncpg), whose alembic.ini names the database. `python benchmarks/run.py migrate`,
`migrate-nothing` and `migrate-reads` run what is here.
"""

import asyncio
import contextlib
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alembic import command
from alembic.config import Config

from benchmarks.turns import compared, environment, in_turns, slow_imports, verdict
from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, connect
from dbops.local.throwaway import throwaway

DRIVERS = {"generic": "psycopg", "async": "asyncpg"}
NOTHING_BOUNDS = {10: 0.6, 500: 0.5}
REVISIONS, REVISIONS_BOUND = 100, 1.15
READERS, LONG_READ_S = 20, 4.0
LOCK_LIMIT_MS, SLACK_MS = 200, 50

WAITING = """
    SELECT EXISTS (SELECT FROM pg_catalog.pg_locks
                    WHERE relation = 'busy'::regclass AND NOT granted
                      AND mode = 'AccessExclusiveLock')
"""
REVISION = """\"\"\"make table {name}

Revision ID: {name}
Revises: {down}
Create Date: 2026-11-21 10:00:00.000000

\"\"\"
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = {name!r}
down_revision: Union[str, Sequence[str], None] = {down!r}
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    \"\"\"Upgrade schema.\"\"\"
    {upgrade}


def downgrade() -> None:
    \"\"\"Downgrade schema.\"\"\"
    op.drop_table("table_{name}")
"""
CREATE = """op.create_table(
        "table_{name}",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("price", sa.Numeric(precision=10, scale=2), nullable=True),
        sa.Column("made", sa.DateTime(timezone=True), server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_{name}_title", "table_{name}", ["title"], unique=False)"""


def write_project(folder: Path, template: str, writer: Endpoint, length: int) -> Path:
    """Write a project of `length` tables and return its alembic.ini."""
    ini = folder / "alembic.ini"
    with contextlib.redirect_stdout(io.StringIO()):
        command.init(Config(str(ini)), str(folder / "migrations"), template=template)
    url = writer.url(show_password=True)
    if template == "async":
        # What libpq calls sslmode, asyncpg calls ssl.
        url = url.replace("sslmode=", "ssl=")
    url = url.replace("postgresql://", f"postgresql+{DRIVERS[template]}://")
    placeholder = "driver://user:pass@localhost/dbname"
    ini.write_text(ini.read_text().replace(placeholder, url.replace("%", "%%")))
    down = None
    for number in range(length):
        name = f"{number:012x}"
        write_revision(folder, name, down, CREATE.format(name=name))
        down = name
    return ini


def write_revision(folder: Path, name: str, down: str | None, upgrade: str) -> None:
    """Write one revision, as Alembic's own template does."""
    file = folder / "migrations" / "versions" / f"{name}_make.py"
    file.write_text(REVISION.format(name=name, down=down, upgrade=upgrade))


def alembic(ini: Path) -> list[str]:
    """Return the words of Alembic's own command."""
    return [sys.executable, "-m", "alembic", "-c", str(ini), "upgrade", "head"]


def dbops(ini: Path, *words: str) -> list[str]:
    """Return the words of ours."""
    return [sys.executable, "-m", "dbops", "migrate", "-c", str(ini), *words]


def bench_nothing(rounds: int) -> bool:
    """Whole processes that find a database at head."""
    kept = [
        asyncio.run(nothing(template, length, rounds))
        for length in NOTHING_BOUNDS
        for template in DRIVERS
    ]
    return all(kept)


async def nothing(template: str, length: int, rounds: int) -> bool:
    """Compare the no-op on one project."""
    print(
        f"migrate with nothing to do, {length} revisions, template {template} "
        f"({DRIVERS[template]})"
    )
    with tempfile.TemporaryDirectory() as folder:
        async with throwaway() as pair:
            ini = write_project(Path(folder), template, pair.writer, length)
            await stamp(pair.writer, f"{length - 1:012x}")
            commands = {
                "alembic upgrade head": alembic(ini),
                "dbops migrate --format json": dbops(ini, "--format", "json"),
                "dbops migrate": dbops(ini),
            }
            env = environment()
            times = await asyncio.to_thread(in_turns, commands, env, rounds)
            loaded = await asyncio.to_thread(slow_imports, dbops(ini), env)
    peer, *ours = commands
    good = compared(times, peer, dict.fromkeys(ours, NOTHING_BOUNDS[length]))
    print(f"  slow packages imported on that path: {', '.join(loaded) or 'none'}")
    return good and not loaded


async def stamp(writer: Endpoint, revision: str) -> None:
    """Write the version table as Alembic leaves it; the tables make no difference."""
    connection = await connect(writer)
    await connection.execute(
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)"
    )
    await connection.execute("INSERT INTO alembic_version VALUES ($1)", revision)
    await connection.close()


def bench_revisions(rounds: int) -> bool:
    """From an empty database to all revisions, with everything that dbops adds."""
    kept = [asyncio.run(revisions(template, rounds)) for template in DRIVERS]
    return all(kept)


async def revisions(template: str, rounds: int) -> bool:
    """Compare a whole history on one project."""
    print(
        f"migrate, {REVISIONS} revisions from empty, template {template} "
        f"({DRIVERS[template]}); dbops with its lock, time-outs and proof"
    )
    with tempfile.TemporaryDirectory() as folder:
        async with throwaway() as pair:
            writer = pair.writer
            ini = write_project(Path(folder), template, writer, REVISIONS)
            commands = {
                "alembic upgrade head": alembic(ini),
                "dbops migrate": dbops(ini, "--format", "json"),
            }

            def before() -> None:
                asyncio.run(empty(writer))

            times = await asyncio.to_thread(
                in_turns, commands, environment(), rounds, before
            )
    bounds = {"dbops migrate": REVISIONS_BOUND}
    return compared(times, "alembic upgrade head", bounds)


async def empty(writer: Endpoint) -> None:
    """Leave nothing in the database."""
    connection = await connect(writer, command_timeout_s=None)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()


@dataclass(slots=True)
class Reads:
    """What readers met while a revision waited for their table."""

    migrate_s: float = 0.0
    times_ms: list[float] = field(default_factory=list)
    is_disturbed: bool = False
    is_over: bool = False

    def show(self, name: str, limit_ms: float | None) -> bool:
        """Print the figures; tell whether the bound holds."""
        cuts = statistics.quantiles(self.times_ms, n=100)
        holds = limit_ms is None or cuts[98] <= limit_ms
        bound = f"  (bound {limit_ms:g} ms: {verdict(holds)})" if limit_ms else ""
        print(
            f"  {name:<28} migrate {self.migrate_s:5.2f} s"
            f"  reads {len(self.times_ms):6d}  p50 {cuts[49]:6.1f} ms"
            f"  p99 {cuts[98]:7.1f}  max {max(self.times_ms):7.1f}{bound}"
        )
        return holds


def bench_reads(rounds: int) -> bool:
    """Read a table while ALTER TABLE waits for a long reader of it."""
    print(
        f"{READERS} readers of a table, from when a revision waits for it until it is "
        f"done; another reads it for {LONG_READ_S:g} s more"
    )
    return asyncio.run(reads(rounds))


async def reads(rounds: int) -> bool:
    """Run each command `rounds` times, and put its reads together."""
    words = ("--format", "json", "--ddl-lock-timeout", f"{LOCK_LIMIT_MS}ms")
    with tempfile.TemporaryDirectory() as folder:
        async with throwaway(settings={"max_connections": "100"}) as pair:
            ini = write_project(Path(folder), "generic", pair.writer, 0)
            statement = "op.execute('ALTER TABLE busy ADD COLUMN x int')"
            write_revision(Path(folder), "a1", None, statement)
            ways = {
                "alembic upgrade head": (alembic(ini), None),
                f"dbops migrate, {LOCK_LIMIT_MS} ms": (
                    dbops(ini, *words),
                    LOCK_LIMIT_MS + SLACK_MS,
                ),
            }
            seen = {name: Reads() for name in ways}
            for _ in range(rounds):
                for name, (way, _limit) in ways.items():
                    await disturbed(pair.writer, way, seen[name])
    kept = [seen[name].show(name, limit) for name, (_, limit) in ways.items()]
    return all(kept)


async def disturbed(writer: Endpoint, words: Sequence[str], seen: Reads) -> None:
    """Read while a revision waits; add what the reads took to `seen`."""
    await empty(writer)
    connections = [
        await connect(writer, command_timeout_s=None) for _ in range(READERS + 1)
    ]
    long, *readers = connections
    await long.execute("CREATE TABLE busy AS SELECT generate_series(1, 1000) AS n")
    await long.execute("CREATE UNIQUE INDEX ON busy (n)")
    seen.is_disturbed = seen.is_over = False
    async with asyncio.TaskGroup() as tasks:
        for reader in readers:
            tasks.create_task(read(reader, seen))
        tasks.create_task(read_for_long(long, seen))
        started = time.perf_counter()
        await migrated(words)
        seen.migrate_s = max(seen.migrate_s, time.perf_counter() - started)
        seen.is_over = True
    for connection in connections:
        await connection.close()


async def read(reader: Connection, seen: Reads) -> None:
    """Read one row again and again, with a short rest between."""
    while not seen.is_over:
        started = time.perf_counter()
        await reader.fetchval("SELECT n FROM busy WHERE n = 500")
        if seen.is_disturbed:
            seen.times_ms.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(0.005)


async def read_for_long(reader: Connection, seen: Reads) -> None:
    """Hold the table as a report does, for so long after somebody waits for it."""
    async with reader.transaction():
        await reader.fetchval("SELECT count(*) FROM busy")
        while not await reader.fetchval(WAITING):
            await asyncio.sleep(0.005)
        seen.is_disturbed = True
        await asyncio.sleep(LONG_READ_S)


async def migrated(words: Sequence[str]) -> None:
    """Run a command to its end, which has to be a good one."""
    process = await asyncio.create_subprocess_exec(
        *words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, err = await process.communicate()
    if process.returncode:
        raise RuntimeError(err.decode())
