"""dbops on a fleet of databases, beside a shell loop of Alembic in the same run.

    python benchmarks/run.py fleet

The loop is what people write: one `alembic upgrade head` after another, with a
DATABASE_URL each. dbops is told with `--targets-sql` where the databases are. Both
run one project: Alembic's own async template, and a line that reads DATABASE_URL.
Whole processes, in turns, from outside; a ratio is the median of the ratios round by
round.
"""

import asyncio
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config

from dbops.endpoint import Endpoint
from dbops.engine.connect import connect
from dbops.local.throwaway import throwaway

FRESH_BOUND, NOOP_BOUND = 0.15, 0.03
DATABASES = 50
REVISIONS = 10

URL_LINES = """config = context.config
import os
config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"])
"""
REVISION = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = {name!r}, {down!r}
def upgrade():
    op.create_table(
        "table_{name}",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
    )
    op.create_index("ix_{name}", "table_{name}", ["title"])
def downgrade():
    op.drop_table("table_{name}")
"""
LISTED = """SELECT datname AS database FROM pg_catalog.pg_database
             WHERE datname ^@ 'fleet_' ORDER BY 1"""


def write_project(folder: Path) -> None:
    """Write a project of REVISIONS tables."""
    config = Config(str(folder / "alembic.ini"))
    with contextlib.redirect_stdout(io.StringIO()):
        command.init(config, str(folder / "migrations"), template="async")
    env = folder / "migrations" / "env.py"
    env.write_text(env.read_text().replace("config = context.config\n", URL_LINES))
    versions = folder / "migrations" / "versions"
    down = None
    for number in range(REVISIONS):
        name = f"r{number:03}"
        (versions / f"{name}.py").write_text(REVISION.format(name=name, down=down))
        down = name


async def renew(server: Endpoint, names: Sequence[str]) -> None:
    """Drop the databases and create them again, empty."""
    admin = await connect(server, command_timeout_s=None)
    for name in names:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    await admin.execute("CHECKPOINT")
    await admin.close()


async def count_at_head(server: Endpoint, names: Sequence[str]) -> int:
    """Count the databases that have the last revision and all tables."""
    good = 0
    for name in names:
        connection = await connect(server.with_database(name))
        version = await connection.fetchval("SELECT version_num FROM alembic_version")
        tables = await connection.fetchval(
            "SELECT count(*) FROM pg_catalog.pg_tables WHERE tablename ^@ 'table_r'"
        )
        good += (version, tables) == (f"r{REVISIONS - 1:03}", REVISIONS)
        await connection.close()
    return good


class Fleet:
    """The databases, and the two ways to migrate them."""

    def __init__(self, server: Endpoint, folder: Path, databases: int) -> None:
        self.server = server
        self.names = [f"fleet_{number:03}" for number in range(databases)]
        self.folder = folder
        script = [
            "set -e; bin=$1; shift",
            'for url in "$@"; do DATABASE_URL=$url $bin -m alembic upgrade head; done',
        ]
        urls = [url(server.with_database(name)) for name in self.names]
        self.commands = {
            "alembic in a shell loop": [
                *("sh", "-c", "; ".join(script), "sh", sys.executable),
                *urls,
            ],
            "dbops migrate": [
                *(sys.executable, "-m", "dbops", "migrate", "--format", "json"),
                *("--targets-sql", LISTED),
            ],
        }

    def timed(self, name: str) -> float:
        """Run one of the two to its end and return its wall time in seconds."""
        started = time.perf_counter()
        subprocess.run(
            self.commands[name],
            cwd=self.folder,
            env=environment(DATABASE_URL=url(self.server)),
            check=True,
            capture_output=True,
            timeout=600,
        )
        return time.perf_counter() - started

    def rounds(self, rounds: int, *, fresh: bool) -> dict[str, list[float]]:
        """Time both in turns, from empty databases or from databases at head."""
        times: dict[str, list[float]] = {name: [] for name in self.commands}
        for number in range(rounds):
            turns = list(self.commands)
            for name in turns if number % 2 else turns[::-1]:
                if fresh:
                    asyncio.run(renew(self.server, self.names))
                times[name].append(self.timed(name))
                good = asyncio.run(count_at_head(self.server, self.names))
                if good != len(self.names):
                    raise SystemExit(f"{name}: only {good} databases are at head")
        return times


def url(endpoint: Endpoint) -> str:
    """Write an endpoint as SQLAlchemy reads it, which knows no sslmode."""
    plain = endpoint.url(show_password=True).partition("?")[0]
    return plain.replace("postgresql://", "postgresql+asyncpg://")


def environment(**variables: str) -> dict[str, str]:
    """Return the environment with .pyc files allowed, as after an installation."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **variables}


def compared(times: Mapping[str, list[float]], bound: float) -> bool:
    """Print both beside each other; tell whether the bound holds."""
    peer, ours = times.values()
    ratio = statistics.median(a / b for a, b in zip(ours, peer, strict=True))
    holds = ratio <= bound
    for name, spent in times.items():
        print(f"  {name:<26} median {statistics.median(spent):6.2f} s", end="")
        print(f"  min {min(spent):6.2f}")
    word = "holds" if holds else "MISSED"
    print(f"  ratio x{ratio:.3f}  (bound x{bound:g}: {word})")
    return holds


async def measured(rounds: int) -> bool:
    """Run both cases; tell whether the bounds hold."""
    good = True
    with tempfile.TemporaryDirectory() as folder:
        write_project(Path(folder))
        async with throwaway(settings={"max_connections": "100"}) as pair:
            fleet = Fleet(pair.writer, Path(folder), DATABASES)
            for title, fresh, bound in (
                ("fresh", True, FRESH_BOUND),
                ("all at head", False, NOOP_BOUND),
            ):
                print(f"{DATABASES} databases x {REVISIONS} revisions, {title}")
                times = await asyncio.to_thread(fleet.rounds, rounds, fresh=fresh)
                good = compared(times, bound) and good
    return good


def bench_fleet(rounds: int) -> bool:
    """Many databases, beside Alembic in a shell loop."""
    return asyncio.run(measured(rounds))
