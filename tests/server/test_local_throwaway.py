"""A pair for a block of code, with real servers."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dbops.endpoint import Endpoint
from dbops.errors import ConfigError, FailedError
from dbops.local import throwaway as module
from dbops.local.pair import throwaway
from dbops.local.processes import is_alive
from dbops.local.session import session

SYSTEM_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


async def ask(endpoint: Endpoint, question: str) -> Any:  # noqa: ANN401 # any column
    async with session(endpoint) as connection:
        return await connection.fetchval(question)


async def eventually(check: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def processes_below(folder: Path) -> list[bytes]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in words and b"pytest" not in words:
            found.append(words)
    return found


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # Under root the servers have another account, which must be able to pass.
    folder = Path(tempfile.mkdtemp(prefix="dbops-test-", dir="/tmp"))
    folder.chmod(0o755 if os.geteuid() == 0 else 0o700)
    yield folder
    assert processes_below(folder) == []
    shutil.rmtree(folder)


@pytest.fixture
def work(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the pairs live where only this test looks, not on the shared memory disk."""
    monkeypatch.setattr(module, "_MEMORY_DISK", home / "no-such-disk")
    return home / "throwaway"


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("template", [True, False])
async def test_a_throwaway_pair_replicates_and_leaves_nothing(
    home: Path, work: Path, *, template: bool
) -> None:
    async with throwaway(cache_dir=home, template=template) as pair:
        assert pair.folder.parent == work
        # The password is the standby's too from the first moment.
        assert await ask(pair.reader, "SELECT pg_is_in_recovery()") is True
        assert await ask(pair.writer, "SHOW fsync") == "off"
        assert await ask(pair.writer, "SHOW timezone") == "UTC"
        async with session(pair.writer) as writer:
            await writer.execute("CREATE TABLE seen AS SELECT 1 AS one")
        deadline = time.monotonic() + 10
        while await ask(pair.reader, "SELECT to_regclass('seen')") is None:
            assert time.monotonic() < deadline
    assert left_in(work) == []
    assert processes_below(pair.folder) == []
    assert not is_alive(pair.writer_pid or 0)


async def test_two_throwaway_pairs_have_different_passwords(home: Path) -> None:
    async with throwaway(cache_dir=home) as one, throwaway(cache_dir=home) as two:
        assert one.writer.password != two.writer.password
        assert one.folder != two.folder
    assert not one.folder.exists()
    assert not two.folder.exists()


async def test_a_pair_without_a_standby_reads_from_its_writer(home: Path) -> None:
    async with throwaway(cache_dir=home, standby=False) as pair:
        assert pair.reader == pair.writer
        assert pair.reader_pid is None
        assert await ask(pair.reader, "SELECT pg_is_in_recovery()") is False


async def test_settings_reach_both_servers_and_the_standby_still_starts(
    home: Path,
) -> None:
    settings = {"max_connections": "12", "work_mem": "5MB", "cluster_name": "it's"}
    async with throwaway(cache_dir=home, settings=settings) as pair:
        assert await ask(pair.writer, "SHOW max_connections") == "12"
        assert await ask(pair.reader, "SHOW work_mem") == "5MB"
        assert await ask(pair.writer, "SHOW cluster_name") == "it's"


async def test_a_setting_that_the_server_refuses_leaves_nothing(
    home: Path, work: Path
) -> None:
    with pytest.raises(FailedError, match="did not start"):
        async with throwaway(cache_dir=home, settings={"no_such": "1"}):
            pass
    assert left_in(work) == []


async def test_an_error_in_the_block_passes_through_and_leaves_nothing(
    home: Path, work: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        async with throwaway(cache_dir=home):
            raise FileNotFoundError
    assert left_in(work) == []


@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize("delay_s", [0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5])
async def test_cancelling_at_any_moment_leaves_nothing(
    home: Path, work: Path, delay_s: float, *, template: bool
) -> None:
    async def use() -> None:
        async with throwaway(cache_dir=home, template=template):
            await asyncio.sleep(60)

    using = asyncio.create_task(use())
    await asyncio.sleep(delay_s)
    using.cancel()
    await asyncio.sleep(0.002)
    # An impatient user's second Ctrl-C.
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert left_in(work) == []
    assert processes_below(work) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a dead parent")
@pytest.mark.parametrize("delay_s", [None, 0.35, 0.45, 0.55])
async def test_servers_of_a_killed_process_die_and_the_next_pair_sweeps(
    home: Path, work: Path, delay_s: float | None
) -> None:
    code = """
import asyncio, json, pathlib, sys
from dbops.local import throwaway as module
module._MEMORY_DISK = pathlib.Path("/no-such-disk")
async def main():
    async with module.throwaway(cache_dir=pathlib.Path(sys.argv[1])) as pair:
        print(json.dumps([pair.writer_pid, pair.reader_pid]), flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, home, stdout=subprocess.PIPE
    )
    pids: list[int] = []
    if delay_s is None:
        assert child.stdout is not None
        pids = json.loads(await child.stdout.readline())
        assert all(is_alive(pid) for pid in pids)
    else:
        await asyncio.sleep(delay_s)
    child.send_signal(signal.SIGKILL)
    await child.communicate()
    await eventually(lambda: not any(is_alive(pid) for pid in pids))
    await eventually(lambda: not processes_below(work))

    async with throwaway(cache_dir=home) as pair:
        assert left_in(work) == [pair.folder]
    assert left_in(work) == []


async def test_a_sweep_spares_the_pairs_that_live(home: Path, work: Path) -> None:
    async with throwaway(cache_dir=home, standby=False) as first:
        async with throwaway(cache_dir=home, standby=False) as second:
            assert sorted(left_in(work)) == sorted([first.folder, second.folder])
        assert await ask(first.writer, "SELECT 1") == 1


async def test_a_deep_folder_does_not_hinder_the_sockets(
    home: Path, work: Path
) -> None:
    async with throwaway(cache_dir=home / ("d" * 90), standby=False) as pair:
        assert await ask(pair.writer, "SELECT 1") == 1
    assert not pair.folder.exists()
    assert left_in(work) == []


@pytest.mark.skipif(not SYSTEM_PROGRAMS, reason="the system has no PostgreSQL")
async def test_the_systems_programs_make_a_throwaway_pair(home: Path) -> None:
    async with throwaway(cache_dir=home, pg_bin=SYSTEM_PROGRAMS[0]) as pair:
        assert await ask(pair.reader, "SHOW server_version") is not None
        assert pair.binaries == str(SYSTEM_PROGRAMS[0])


async def test_a_wrong_folder_of_programs_is_named(home: Path) -> None:
    with pytest.raises(ConfigError, match="/no/such/bin") as wrong:
        async with throwaway(cache_dir=home, pg_bin=Path("/no/such/bin")):
            pass
    assert "DBOPS_PG_BIN" in (wrong.value.hint or "")
