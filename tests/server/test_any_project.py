"""dbops migrate and alembic upgrade reach the same schema, for any project."""

import asyncio
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connection, connect
from dbops.local.binaries import find_binaries
from dbops.local.state import Pair
from tests.conftest import (
    Ran,
    StartWarm,
    carried_out,
    clean_environment,
    new_name,
)
from tests.server.project_kinds import KINDS
from tests.server.projects import Kind, Written, write
from tests.warm import PROJECT_LIBRARIES, Order


@pytest.fixture(scope="session")
async def pg_dump() -> Path:
    return (await find_binaries(None)).bin_dir / "pg_dump"


class Databases:
    """The databases of a test; projects of Alembic's multidb have two of them."""

    def __init__(self, pair: Pair, admin: Connection, kind: Kind) -> None:
        self._writer, self._admin = pair.writer, admin
        self._ends = ("", "_2") if kind.template == "multidb" else ("",)
        self.names: list[str] = []

    async def new(self, like: Endpoint | None = None) -> Endpoint:
        """Make one for a project, empty or like another."""
        name = new_name()
        for end in self._ends:
            of = f"{like.database}{end}" if like else "template0"
            await self._admin.execute(f'CREATE DATABASE "{name}{end}" TEMPLATE "{of}"')
            self.names.append(name + end)
        return self._writer.with_database(name)

    def all_of(self, endpoint: Endpoint) -> list[Endpoint]:
        """Return a project's databases."""
        return [
            self._writer.with_database(f"{endpoint.database}{end}")
            for end in self._ends
        ]


@asynccontextmanager
async def opened(pair: Pair, kind: Kind) -> AsyncGenerator[Databases]:
    admin = await connect(pair.writer)
    databases = Databases(pair, admin, kind)
    try:
        yield databases
    finally:
        for name in databases.names:
            await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()


class Runs:
    """Runs Alembic and dbops as processes, in a project's folder."""

    def __init__(self, kind: Kind, warm: StartWarm, cache: Path) -> None:
        self._kind, self._warm = kind, warm
        self._environment = clean_environment(cache)

    def alembic(self, project: Written, to: str) -> None:
        """Upgrade with Alembic."""
        ran = self._run(project, "alembic", *self._kind.words, "upgrade", to)
        assert ran.code == 0, ran.err

    def dbops(self, project: Written, times: int = 1) -> list[Any]:
        """Migrate with dbops; return the results."""
        words = (*self._kind.words, "--format", "json")
        found = []
        for _ in range(times):
            ran = self._run(project, "dbops", "migrate", "heads", *words)
            assert ran.code == 0, ran.err + ran.out
            found.append(ran.json["result"])
        return found

    def _run(self, project: Written, script: str, *words: str) -> Ran:
        environment = {**self._environment, **project.variables}
        place = str(project.folder / self._kind.works_in)
        order = Order(words, environment, place, script)
        return carried_out(order, self._warm, PROJECT_LIBRARIES)


@pytest.fixture
def runs(kind: Kind, warm: StartWarm, cache_dir: Path) -> Runs:
    """What the test's kind of project is run with."""
    return Runs(kind, warm, cache_dir)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_dbops_reaches_what_alembic_reaches(
    kind: Kind, runs: Runs, pair: Pair, pg_dump: Path, tmp_path: Path
) -> None:
    def at(name: str, endpoint: Endpoint) -> Written:
        return write(kind, tmp_path / name, endpoint)

    async with opened(pair, kind) as databases:
        twin, empty = await databases.new(), await databases.new()
        by_alembic, by_dbops = at("twin", twin), at("empty", empty)
        await asyncio.to_thread(runs.alembic, by_alembic, kind.middle)
        half = await databases.new(like=twin)
        from_half = at("half", half)
        _, (first, again), (rest,) = await asyncio.gather(
            asyncio.to_thread(runs.alembic, by_alembic, "heads"),
            asyncio.to_thread(runs.dbops, by_dbops, times=2),
            asyncio.to_thread(runs.dbops, from_half),
        )
        by_all = [
            await dumped(pg_dump, databases.all_of(of)) for of in (twin, empty, half)
        ]
    assert by_all[1] == by_all[0]
    assert by_all[2] == by_all[0]
    assert len(first["applied"]) > len(rest["applied"]) > 0
    assert again["applied"] == []
    assert first["after"] == rest["after"] == again["after"]


async def dumped(pg_dump: Path, endpoints: list[Endpoint]) -> list[str]:
    """Return all that is in both databases, the rows included."""
    return [
        line
        for endpoint in endpoints
        for line in _ordered(await asyncio.to_thread(_dump, pg_dump, endpoint))
        if line and not line.startswith(("\\restrict", "\\unrestrict", "--"))
    ]


def _ordered(dump: str) -> list[str]:
    """Return the lines with the rows at the end: a table has no order."""
    lines = dump.splitlines()
    return sorted(lines, key=lambda it: it if it.startswith("INSERT ") else "")


def _dump(pg_dump: Path, endpoint: Endpoint) -> str:
    done = subprocess.run(
        [str(pg_dump), "--inserts", endpoint.url(show_password=True)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
