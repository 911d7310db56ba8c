"""The servers that --dbops-keep leaves: who uses them, and who clears them up."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from dbops.engine.connect import connect
from dbops.integrations.testing.servers import servers
from dbops.local.pair import down, running
from dbops.local.state import Pair
from dbops.settings import Settings, load_settings

NAME = "pytest"


@pytest.fixture
async def settings(cache_dir: Path) -> AsyncGenerator[Settings]:
    yield load_settings(flags={"cache_dir": str(cache_dir)})
    await down(name=NAME, cache_dir=cache_dir)


async def column(pair: Pair, sql: str) -> list[str]:
    connection = await connect(pair.writer)
    try:
        return [row[0] for row in await connection.fetch(sql)]
    finally:
        await connection.close()


OURS = "SELECT datname::text FROM pg_database WHERE datname LIKE 'dbops%'"


async def test_what_is_kept_stays_until_the_next_run_that_is_alone(
    settings: Settings, cache_dir: Path
) -> None:
    async with servers(settings, keep_as=NAME) as pair:
        await column(pair, "CREATE DATABASE dbops_kept")
        assert await column(pair, "SHOW fsync") == ["off"]
        async with servers(settings, keep_as=NAME) as same:
            assert await column(same, OURS) == ["dbops_kept"]
    assert running(name=NAME, cache_dir=cache_dir) == pair
    assert await column(pair, OURS) == ["dbops_kept"]
    async with servers(settings, keep_as=NAME) as same:
        assert await column(same, OURS) == []
    assert running(name=NAME, cache_dir=cache_dir) is None
