"""What a probe does not pay for, and what an installation carries."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dbops.operations.init import starter_folder
from tests.conftest import Served, clean_environment

SLOW = ("sqlalchemy", "alembic", "boto3", "botocore")


def imported(*words: str, env: dict[str, str]) -> set[str]:
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dbops", *words],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in traced.stderr.splitlines()}


@pytest.mark.parametrize("command", ["ping", "lag", "pool", "wait"])
@pytest.mark.parametrize("form", ["json", "human"])
def test_a_probe_imports_no_slow_package(
    served: Served, cache_dir: Path, command: str, form: str
) -> None:
    env = {**clean_environment(cache_dir), **served.environment}
    found = imported(command, "--format", form, env=env)
    assert "asyncpg" in found
    assert found.isdisjoint(SLOW)
    assert ("rich" in found) == (form == "human")


def test_help_imports_nothing_that_runs_a_command(cache_dir: Path) -> None:
    found = imported("--help", env=clean_environment(cache_dir))
    assert found.isdisjoint({*SLOW, "asyncpg", "pydantic_settings", "dbops.cli.run"})


def test_the_wheel_carries_the_starter(
    tmp_path: Path, cache_dir: Path, served: Served
) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=starter_folder(),
        check=True,
        capture_output=True,
    )
    site = tmp_path / "site"
    zipfile.ZipFile(next(tmp_path.glob("*.whl"))).extractall(site)
    project = tmp_path / "project"
    project.mkdir()
    env = {**clean_environment(cache_dir), **served.environment}
    env["PYTHONPATH"] = str(site)
    for words in (("init",), ("migrate", "-c", "alembic.ini")):
        subprocess.run(
            [sys.executable, "-m", "dbops", *words],
            cwd=project,
            env=env,
            check=True,
            capture_output=True,
        )
    where = subprocess.run(
        [sys.executable, "-c", "import dbops.operations.init as i; print(i.__file__)"],
        cwd=project,
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    assert str(site) in where.stdout
    assert (site / "dbops" / "py.typed").is_file()
    assert (project / "migrations" / "env.py").is_file()
