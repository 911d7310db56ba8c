"""The background pair, with real servers."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from dbops import Database
from dbops.endpoint import Endpoint
from dbops.errors import (
    ConfigError,
    CredentialsError,
    DbopsError,
    FailedError,
    LockedError,
    RefusedError,
    UsageError,
)
from dbops.local import cluster
from dbops.local import pair as local
from dbops.local.place import local_pair
from dbops.local.session import session
from dbops.local.state import load, save
from dbops.results import Status
from dbops.settings import load_settings

SYSTEM_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


async def ask(endpoint: Endpoint, question: str) -> Any:  # noqa: ANN401 # any column
    async with session(endpoint) as connection:
        return await connection.fetchval(question)


async def tell(endpoint: Endpoint, statement: str) -> None:
    async with session(endpoint) as connection:
        await connection.execute(statement)


async def eventually(
    check: Callable[[], Awaitable[bool]], within_s: float = 10
) -> float:
    begin = time.monotonic()
    while not await check():
        assert time.monotonic() - begin < within_s
        await asyncio.sleep(0.005)
    return time.monotonic() - begin


async def counts(endpoint: Endpoint, table: str, rows: int) -> bool:
    try:
        return bool(await ask(endpoint, f"SELECT count(*) FROM {table}") == rows)  # noqa: S608 # our own names
    except DbopsError:
        return False


def the_pair(home: Path) -> local.Pair:
    pair = local.running(cache_dir=home)
    assert pair is not None
    return pair


def processes_below(folder: Path) -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in words and b"postgres" in words:
            found.append(words.decode())
    return found


@contextmanager
def folder_for_servers() -> Iterator[Path]:
    # Under root the servers have another account, which must be able to pass.
    folder = Path(tempfile.mkdtemp(prefix="dbops-test-", dir="/tmp"))
    folder.chmod(0o755 if os.geteuid() == 0 else 0o700)
    try:
        yield folder
    finally:
        assert processes_below(folder) == []
        shutil.rmtree(folder)


@pytest.fixture
async def home() -> AsyncGenerator[Path]:
    with folder_for_servers() as folder:
        yield folder
        await local.down(cache_dir=folder)


@pytest.fixture(scope="module")
async def shared_home() -> AsyncGenerator[Path]:
    with folder_for_servers() as folder:
        await local.up(cache_dir=folder)
        yield folder
        await local.down(cache_dir=folder)


async def test_a_row_written_on_the_writer_appears_on_the_standby(
    shared_home: Path,
) -> None:
    pair = the_pair(shared_home)
    await tell(pair.writer, "CREATE TABLE seen AS SELECT 1 AS one")
    await eventually(lambda: counts(pair.reader, "seen", 1))
    assert await ask(pair.writer, "SHOW server_version") == pair.server_version


async def test_a_program_finds_the_running_pair_where_it_asks_for_it(
    shared_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBOPS_CACHE_DIR", str(shared_home))
    async with Database(load_settings(local_pair=local_pair)) as database:
        async with database.writer() as session:
            assert await session.scalar(text("SELECT NOT pg_is_in_recovery()"))
        async with database.reader() as session:
            assert await session.scalar(text("SELECT pg_is_in_recovery()"))
    with pytest.raises(ConfigError):
        Database(load_settings()).engine("writer")


async def test_writes_to_the_standby_are_refused(shared_home: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        await tell(the_pair(shared_home).reader, "CREATE TABLE never (one int)")
    assert refused.value.sqlstate == "25006"


async def test_a_lag_delays_what_the_standby_shows(shared_home: Path) -> None:
    pair = the_pair(shared_home)
    await tell(pair.writer, "CREATE TABLE late (one int)")
    await eventually(lambda: counts(pair.reader, "late", 0))

    told = await local.lag(1.0, cache_dir=shared_home)
    assert told.reader.apply_delay_s == 1.0
    await tell(pair.writer, "INSERT INTO late VALUES (1)")
    begin = time.monotonic()
    assert (await local.status(cache_dir=shared_home)).reader.lag_bytes
    await eventually(lambda: counts(pair.reader, "late", 1))
    assert 0.8 < time.monotonic() - begin < 5

    await local.lag(60.0, cache_dir=shared_home)
    told = await local.lag(None, cache_dir=shared_home)
    assert told.reader.apply_delay_s == 0.0
    await tell(pair.writer, "INSERT INTO late VALUES (2)")
    assert await eventually(lambda: counts(pair.reader, "late", 2)) < 10


@pytest.mark.parametrize("seconds", [-1, 3_000_000, float("nan")])
async def test_a_lag_that_no_standby_can_have_is_a_usage_error(
    shared_home: Path, seconds: float
) -> None:
    with pytest.raises(UsageError):
        await local.lag(seconds, cache_dir=shared_home)


async def test_a_paused_standby_shows_nothing_new_until_it_resumes(
    shared_home: Path,
) -> None:
    pair = the_pair(shared_home)
    await tell(pair.writer, "CREATE TABLE held (one int)")
    await eventually(lambda: counts(pair.reader, "held", 0))

    assert (await local.pause(cache_dir=shared_home)).reader.is_replay_paused is True
    await tell(pair.writer, "INSERT INTO held VALUES (1)")
    paused = await local.status(cache_dir=shared_home)
    assert paused.status is Status.OK
    assert paused.reader.lag_bytes
    assert await counts(pair.reader, "held", 0)

    assert (await local.resume(cache_dir=shared_home)).reader.is_replay_paused is False
    await eventually(lambda: counts(pair.reader, "held", 1))


async def test_the_standby_has_a_slot_that_cannot_fill_the_disk(
    shared_home: Path,
) -> None:
    writer = the_pair(shared_home).writer
    slot = "SELECT active FROM pg_replication_slots WHERE slot_name = 'reader'"
    assert await ask(writer, slot) is True
    assert await ask(writer, "SHOW max_slot_wal_keep_size") == "512MB"
    assert await ask(writer, "SHOW fsync") == "on"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def files_with(secret: bytes, folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if secret in path.read_bytes()]


async def test_the_secret_and_the_sockets_are_closed_to_others(
    shared_home: Path,
) -> None:
    folder = the_pair(shared_home).folder
    assert mode(folder / "password") == 0o600
    assert mode(folder / "pair.json") == 0o600
    for closed in (load(folder).sockets, folder / "writer", folder / "reader"):
        assert mode(Path(closed)) == 0o700


@pytest.mark.parametrize("password", ["wrong", ""])
async def test_tcp_asks_for_the_right_password(
    shared_home: Path, password: str
) -> None:
    for right in (the_pair(shared_home).writer, the_pair(shared_home).reader):
        wrong = replace(right, password=SecretStr(password))
        with pytest.raises(CredentialsError):
            await ask(wrong, "SELECT 1")


async def test_the_password_is_in_no_other_file_of_the_pair(shared_home: Path) -> None:
    folder = the_pair(shared_home).folder
    secret = (folder / "password").read_bytes().strip()
    assert files_with(secret, folder) == ["password"]


async def test_up_twice_adopts_the_running_servers(shared_home: Path) -> None:
    first = await local.status(cache_dir=shared_home)
    again = await local.up(cache_dir=shared_home)
    assert again.state == "running"
    assert (again.writer, again.reader) == (first.writer, first.reader)


async def test_up_adopts_servers_of_a_killed_up(shared_home: Path) -> None:
    folder = the_pair(shared_home).folder
    before = await local.status(cache_dir=shared_home)
    forgotten = replace(
        load(folder), wanted=False, writer_pid=None, reader_pid=None, writer_port=None
    )
    save(folder, forgotten)
    assert local.running(cache_dir=shared_home) is None

    after = await local.up(cache_dir=shared_home)
    assert (after.writer.pid, after.writer.port) == (
        before.writer.pid,
        before.writer.port,
    )
    assert local.running(cache_dir=shared_home) is not None


async def test_a_promoted_standby_is_a_second_writer_until_reset(home: Path) -> None:
    await local.up(cache_dir=home)
    await tell(the_pair(home).writer, "CREATE TABLE old (one int)")
    promoted = await local.promote(cache_dir=home)
    assert (promoted.state, promoted.reader.is_in_recovery) == ("running", False)
    assert promoted.reader.is_replay_paused is None
    await tell(the_pair(home).reader, "CREATE TABLE own (one int)")
    for change in (local.promote, local.pause, local.resume):
        with pytest.raises(RefusedError, match="promoted"):
            await change(cache_dir=home)

    assert (await local.down(cache_dir=home)).state == "stopped"
    assert (await local.up(cache_dir=home)).reader.is_in_recovery is False

    new = await local.reset(cache_dir=home)
    assert (new.state, new.reader.is_in_recovery) == ("running", True)
    assert await ask(the_pair(home).writer, "SELECT to_regclass('old')") is None


async def test_data_survive_down_and_down_twice_is_no_error(home: Path) -> None:
    up = await local.up(cache_dir=home)
    await tell(the_pair(home).writer, "CREATE TABLE kept AS SELECT 1 AS one")
    for _ in range(2):
        down = await local.down(cache_dir=home)
        assert (down.state, down.status) == ("stopped", Status.OK)
        assert (down.writer.pid, down.reader.is_in_recovery) == (None, None)
        assert local.running(cache_dir=home) is None
    assert processes_below(home) == []

    again = await local.up(cache_dir=home)
    assert again.writer.port == up.writer.port
    await eventually(lambda: counts(the_pair(home).reader, "kept", 1))


async def test_a_pair_that_was_never_made_is_stopped(home: Path) -> None:
    for ask_about in (local.status, local.down):
        never = await ask_about(cache_dir=home)
        assert (never.state, never.status) == ("stopped", Status.OK)
        assert (never.server_version, never.writer.port) == (None, None)
    assert os.listdir(home) == []  # noqa: PTH208 # one look at a small folder
    with pytest.raises(RefusedError):
        await local.pause(cache_dir=home)


async def test_a_crashed_writer_is_reported_and_restarted(home: Path) -> None:
    before = await local.up(cache_dir=home)
    pair = the_pair(home)
    await tell(pair.writer, "CREATE TABLE kept AS SELECT 1 AS one")
    assert before.writer.pid is not None
    os.kill(before.writer.pid, signal.SIGKILL)

    async def is_partial() -> bool:
        return (await local.status(cache_dir=home)).state == "partial"

    await eventually(is_partial)
    crashed = await local.status(cache_dir=home)
    assert (crashed.status, crashed.writer.state) == (Status.FAIL, "stopped")
    assert crashed.reader.is_in_recovery is True
    assert crashed.reader.lag_bytes is None
    assert local.running(cache_dir=home) is not None

    after = await local.up(cache_dir=home)
    assert (after.state, after.status) == ("running", Status.OK)
    assert after.writer.pid != before.writer.pid
    assert after.reader.pid == before.reader.pid
    await tell(pair.writer, "INSERT INTO kept VALUES (2)")
    await eventually(lambda: counts(pair.reader, "kept", 2))


async def test_a_pair_that_lost_both_servers_is_not_ok(home: Path) -> None:
    up = await local.up(cache_dir=home)
    for server in (up.reader, up.writer):
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)

    async def is_stopped() -> bool:
        return (await local.status(cache_dir=home)).state == "stopped"

    await eventually(is_stopped)
    assert (await local.status(cache_dir=home)).status is Status.FAIL
    assert local.running(cache_dir=home) is None
    assert (await local.up(cache_dir=home)).status is Status.OK


@contextmanager
def process_of(uid: int, program: str) -> Iterator[int]:
    # PostgreSQL takes a process of another account for dead, so it must be its own.
    user = uid if os.geteuid() == 0 else None
    child = subprocess.Popen(["/bin/sh", "-c", program], cwd="/", user=user)
    try:
        if program == "exit":
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        yield child.pid
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("program", ["exec sleep 60", "exit"])
async def test_a_stale_pid_file_of_a_stranger_or_a_zombie_does_not_stop_a_start(
    home: Path, program: str
) -> None:
    await local.up(cache_dir=home)
    folder = the_pair(home).folder
    record = load(folder)
    pid_file = folder / "writer" / "postmaster.pid"
    lock = Path(record.sockets) / f".s.PGSQL.{record.writer_port}.lock"
    stale = [pid_file.read_text(), lock.read_text()]
    await local.down(cache_dir=home)
    owner = os.stat(folder / "writer").st_uid  # noqa: PTH116 # one quick look
    with process_of(owner, program) as pid:
        for path, text in zip((pid_file, lock), stale, strict=True):
            path.write_text(text.replace(str(record.writer_pid), str(pid), 1))
            os.chown(path, owner, -1)
        assert (await local.status(cache_dir=home)).state == "stopped"
        assert (await local.up(cache_dir=home)).state == "running"


@contextmanager
def taken_port(port: int = 0) -> Iterator[int]:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield taken.getsockname()[1]


async def test_a_standby_whose_port_was_taken_gets_another_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with taken_port() as port:
        ports = [cluster.free_port(), port, port]
        free_port = cluster.free_port
        monkeypatch.setattr(
            cluster, "free_port", lambda: ports.pop(0) if ports else free_port()
        )
        up = await local.up(cache_dir=home)
        assert ports == []
        assert up.state == "running"
        assert port not in (up.writer.port, up.reader.port)
    assert files_with(b"could not bind", home / "pairs") == ["reader.log"]


async def test_when_no_port_can_be_had_no_server_stays(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with taken_port() as port:
        good = cluster.free_port()
        ports = iter([good] + [port] * 9)
        monkeypatch.setattr(cluster, "free_port", lambda: next(ports))
        with pytest.raises(FailedError, match="no free port for the reader"):
            await local.up(cache_dir=home)
    assert processes_below(home) == []
    assert (await local.status(cache_dir=home)).state == "stopped"


async def test_a_writer_that_comes_back_on_another_port_is_found_by_its_standby(
    home: Path,
) -> None:
    before = await local.up(cache_dir=home)
    assert before.writer.pid is not None
    os.kill(before.writer.pid, signal.SIGINT)

    async def is_partial() -> bool:
        return (await local.status(cache_dir=home)).state == "partial"

    await eventually(is_partial)
    with taken_port(before.writer.port or 0):
        after = await local.up(cache_dir=home)
    assert after.writer.port != before.writer.port
    assert after.reader.pid == before.reader.pid
    await tell(the_pair(home).writer, "CREATE TABLE moved (one int)")
    await eventually(lambda: counts(the_pair(home).reader, "moved", 0))


async def test_two_ups_at_once_do_not_fight(home: Path) -> None:
    code = (
        "import asyncio, sys, pathlib; from dbops.local.pair import up;"
        "print(asyncio.run(up(cache_dir=pathlib.Path(sys.argv[1]))).model_dump_json())"
    )
    both = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, home, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    answers = await asyncio.gather(*(one.communicate() for one in both))
    first, second = (json.loads(answer[0]) for answer in answers)
    assert first["state"] == "running"
    assert first["writer"]["pid"] == second["writer"]["pid"]
    assert first["reader"]["pid"] == second["reader"]["pid"]


async def test_a_busy_pair_is_locked(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_LOCK_S", 0.1)
    async with local._locked(home / "pairs" / "default"):  # noqa: SLF001 # a second dbops
        with pytest.raises(LockedError):
            await local.up(cache_dir=home)


@pytest.mark.parametrize("delay_s", [0.02, 0.1, 0.3, 0.5, 0.8, 1.0])
async def test_an_up_that_is_cancelled_leaves_no_server(
    home: Path, delay_s: float
) -> None:
    starting = asyncio.create_task(local.up(cache_dir=home))
    await asyncio.sleep(delay_s)
    if starting.cancel():
        with pytest.raises(asyncio.CancelledError):
            await starting
    if not (home / "pairs" / "default").exists():
        assert list((home / "pairs").glob(".dbops-*")) == []
    if local.running(cache_dir=home) is None:
        assert processes_below(home) == []
    assert (await local.up(cache_dir=home)).state == "running"


async def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    await local.up(cache_dir=home)
    await local.down(cache_dir=home)
    folder = home / "pairs" / "default"
    auto = folder / "writer" / "postgresql.auto.conf"
    auto.write_text("shared_buffers = 'nonsense'\n")
    with pytest.raises(
        FailedError, match=r"the writer did not start: .*FATAL"
    ) as failed:
        await local.up(cache_dir=home)
    assert "writer.log" in (failed.value.hint or "")
    assert processes_below(home) == []


async def test_a_damaged_state_file_is_a_config_error_that_reset_heals(
    home: Path,
) -> None:
    await local.up(cache_dir=home)
    (home / "pairs" / "default" / "pair.json").write_text("{")
    assert local.running(cache_dir=home) is None
    for ask_about in (local.status, local.up, local.down):
        with pytest.raises(ConfigError, match=r"pair\.json") as damaged:
            await ask_about(cache_dir=home)
        assert "reset" in (damaged.value.hint or "")
    assert (await local.reset(cache_dir=home)).state == "running"


@pytest.mark.skipif(not SYSTEM_PROGRAMS, reason="the system has no PostgreSQL")
async def test_programs_can_be_chosen_and_must_fit_the_data(home: Path) -> None:
    programs = SYSTEM_PROGRAMS[0]
    up = await local.up(cache_dir=home, pg_bin=programs)
    major = programs.parent.name
    assert (up.server_version or "").startswith(f"{major}.")
    assert up.binaries == str(programs)
    await tell(the_pair(home).writer, "CREATE TABLE seen AS SELECT 1 AS one")
    await eventually(lambda: counts(the_pair(home).reader, "seen", 1))
    assert (await local.lag(1, cache_dir=home)).reader.apply_delay_s == 1
    assert (await local.promote(cache_dir=home)).reader.is_in_recovery is False
    await local.down(cache_dir=home)
    with pytest.raises(ConfigError, match=f"PostgreSQL {major}"):
        await local.up(cache_dir=home)


async def test_a_failed_up_takes_its_short_socket_folder_along(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(os.listdir("/tmp"))  # noqa: PTH208, S108 # where the sockets go
    with taken_port() as port:
        monkeypatch.setattr(cluster, "free_port", lambda: port)
        with pytest.raises(FailedError):
            await local.up(cache_dir=home / ("d" * 80))
    left = set(os.listdir("/tmp")) - before  # noqa: PTH208, S108 # same
    assert not [name for name in left if re.fullmatch(r"dbops-[a-z0-9_]{8}", name)]


async def test_sockets_of_a_deep_folder_live_elsewhere(home: Path) -> None:
    deep = home / ("d" * 80)
    await local.up(cache_dir=deep)
    try:
        sockets = Path(load(deep / "pairs" / "default").sockets)
        assert not sockets.is_relative_to(deep)
        assert mode(sockets) == 0o700
    finally:
        await local.down(cache_dir=deep)
    with pytest.raises(FileNotFoundError):
        mode(sockets)
    assert (await local.up(cache_dir=deep)).state == "running"
    await local.down(cache_dir=deep)


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", ".hidden", "a b"])
async def test_a_name_that_is_no_folder_is_a_usage_error(home: Path, name: str) -> None:
    with pytest.raises(UsageError):
        await local.up(name=name, cache_dir=home)


def test_a_folder_that_cannot_be_written_is_a_config_error(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)

    def try_it() -> int:
        try:
            asyncio.run(local.up(cache_dir=Path("/") if is_root else closed))
        except ConfigError as error:
            return 0 if error.phase == "local" and error.hint else 1
        return 2

    is_root = os.geteuid() == 0
    if not is_root:
        assert try_it() == 0
        return
    # As another account, to whom the files of this interpreter may be closed.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        answer = 3
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            answer = try_it()
        finally:
            os._exit(answer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
