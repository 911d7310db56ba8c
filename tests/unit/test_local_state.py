"""What is known about a local pair without asking it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dbops.errors import ConfigError, UsageError
from dbops.local.configuration import reader_text, writer_text
from dbops.local.folders import pair_folder, write_private
from dbops.local.processes import is_alive, is_server, read_pid_file
from dbops.local.state import Record, load, running, save
from dbops.local.status import status


def test_a_pair_that_was_never_made_is_not_running(tmp_path: Path) -> None:
    assert running(cache_dir=tmp_path) is None


async def test_a_user_without_a_home_runs_no_pair_and_is_told_where_one_could_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody(_: int) -> object:
        raise KeyError

    # As a container's user that is a number and no more.
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setattr("dbops.local.folders.is_root", lambda: False)
    assert running() is None
    with pytest.raises(ConfigError, match="no home") as caught:
        await status()
    assert "DBOPS_CACHE_DIR" in (caught.value.hint or "")


async def test_a_folder_that_nobody_can_look_into_holds_no_pair() -> None:
    closed = Path("/" + "x" * 300)
    assert running(cache_dir=closed) is None
    with pytest.raises(ConfigError, match="cannot use"):
        await status(cache_dir=closed)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"wanted": true}', '{"new": 1}'])
def test_a_damaged_state_file_is_not_running(tmp_path: Path, text: str) -> None:
    folder = pair_folder(tmp_path, "default")
    folder.mkdir(parents=True)
    (folder / "pair.json").write_text(text)
    (folder / "password").write_text("secret\n")
    assert running(cache_dir=tmp_path) is None


def test_a_pair_whose_processes_belong_to_others_is_not_running(
    tmp_path: Path,
) -> None:
    folder = pair_folder(tmp_path, "default")
    folder.mkdir(parents=True)
    (folder / "password").write_text("secret\n")
    save(
        folder,
        Record(
            wanted=True,
            writer_port=1,
            reader_port=2,
            writer_pid=os.getpid(),
            reader_pid=1,
        ),
    )
    assert load(folder).wanted
    assert running(cache_dir=tmp_path) is None


def test_a_missing_password_is_a_config_error_and_not_running(tmp_path: Path) -> None:
    folder = pair_folder(tmp_path, "default")
    folder.mkdir(parents=True)
    save(folder, Record(wanted=True))
    assert running(cache_dir=tmp_path) is None
    with pytest.raises(ConfigError):
        load(folder / "elsewhere")


@pytest.mark.parametrize("name", ["..", "a/b", "", "-x", "x" * 64])
def test_a_bad_name_is_a_usage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        running(name=name, cache_dir=tmp_path)


def test_asking_whether_a_pair_runs_loads_no_driver() -> None:
    heavy = "{'asyncpg', 'sqlalchemy', 'alembic', 'boto3', 'subprocess', 'asyncio'}"
    code = f"import dbops.local.state, sys; print(sorted({heavy} & set(sys.modules)))"
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert said.stdout.strip() == "[]"


def test_a_process_that_has_ended_is_not_alive_even_as_a_zombie() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert not is_alive(child.pid)
    finally:
        child.wait()
    assert not is_alive(child.pid)
    assert is_alive(os.getpid())


def test_a_stranger_with_the_right_process_id_is_no_server(tmp_path: Path) -> None:
    assert not is_server(os.getpid(), tmp_path)


@pytest.mark.parametrize("text", ["", "\n", "x\n", "12"])
def test_a_half_written_pid_file_is_not_ready(tmp_path: Path, text: str) -> None:
    (tmp_path / "postmaster.pid").write_text(text)
    file = read_pid_file(tmp_path)
    assert file is None or (not file.is_ready and file.port is None)


def test_a_private_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    for text in ("one", "two"):
        write_private(file, text)
        assert file.read_text() == text
        assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["secret"]  # noqa: PTH208 # hidden files too


def test_values_are_quoted_for_the_server(tmp_path: Path) -> None:
    folder = tmp_path / "it's"
    text = writer_text(folder, folder, 5432, {"cluster_name": "a'b\\c"})
    assert "cluster_name = 'a''b\\\\c'" in text
    assert "it''s" in text
    assert "port = '5432'" in text


def test_a_standby_never_gets_less_than_its_writer_had(tmp_path: Path) -> None:
    small = {"max_connections": "10", "max_wal_senders": "20"}
    text = reader_text(tmp_path, tmp_path, 2, small, 1)
    assert "max_connections = '100'" in text
    assert "max_wal_senders = '20'" in text
    assert "max_connections = '10'" in writer_text(tmp_path, tmp_path, 1, small)


def test_a_record_survives_the_file(tmp_path: Path) -> None:
    record = Record(wanted=True, sockets="/x", writer_port=1, writer_pid=3)
    save(tmp_path, record)
    assert load(tmp_path) == record
    assert json.loads((tmp_path / "pair.json").read_text())["reader_pid"] is None
