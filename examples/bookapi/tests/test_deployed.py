"""The gates that the pipeline runs."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dbops.integrations.testing import PairDatabase

PROJECT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        # The models are what the revisions make.
        ("check", 0),
        ("pool --replicas 4 --surge 1 --pool-size 5 --max-overflow 5", 0),
        ("pool --replicas 40 --surge 1 --pool-size 5 --max-overflow 5", 1),
    ],
)
async def test_a_command_ends_as_the_pipeline_needs_it(
    dbops_database: PairDatabase, command: str, code: int
) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "dbops", *command.split()],
        cwd=PROJECT,
        env={**os.environ, **dbops_database.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
