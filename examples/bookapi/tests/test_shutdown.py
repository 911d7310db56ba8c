"""A process that is told to end answers whom it has listened to."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from dbops.engine.connect import Connection
from dbops.integrations.testing import PairDatabase

Block = Callable[[], AbstractAsyncContextManager[None]]

SOURCES = Path(__file__).parents[1] / "src"
LIMIT_S = 20
WAITING = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'bookapi'
       AND wait_event_type = 'Lock'
"""
OPEN = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'bookapi'
"""


async def until_found(admin: Connection, question: str, wanted: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while await admin.fetchval(question) != wanted:
            await asyncio.sleep(0.01)


async def until_said(process: Process, words: str) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(LIMIT_S):
        while line := (await process.stderr.readline()).decode():
            if words in line:
                return line
    raise AssertionError(f"it ended without: {words}")


@asynccontextmanager
async def served(database: PairDatabase) -> AsyncGenerator[tuple[Process, str]]:
    """Run the container's own command for the block; tell where it listens."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(SOURCES),
        **database.environment,
    }
    command = ["-m", "uvicorn", "--factory", "bookapi.main:create_app", "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environment, stdout=PIPE, stderr=PIPE
    )
    try:
        line = await until_said(process, "running on")
        found = re.search(r"http://[\d.]+:\d+", line)
        assert found is not None
        yield process, found[0]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_requests_in_flight_are_answered_and_connections_closed(
    dbops_database: PairDatabase,
    admin: Connection,
    standby: Connection,
    held: Block,
) -> None:
    async with (
        served(dbops_database) as (process, url),
        httpx.AsyncClient(base_url=url, timeout=LIMIT_S) as client,
    ):
        async with held():
            asked = [asyncio.create_task(client.post("/visits")) for _ in range(5)]
            await until_found(admin, WAITING, 5)
            process.terminate()
            await until_said(process, "Shutting down")
            async with httpx.AsyncClient(base_url=url) as late:
                with pytest.raises(httpx.ConnectError):
                    await late.get("/livez")
        answers = await asyncio.gather(*asked)
        assert {it.status_code for it in answers} == {201}
        async with asyncio.timeout(LIMIT_S):
            await process.communicate()
    # Once all is done, uvicorn ends as its signal asks for.
    assert process.returncode in (0, -signal.SIGTERM)
    assert await admin.fetchval("SELECT count(*) FROM visits") == 5
    for server in (admin, standby):
        await until_found(server, OPEN, 0)
