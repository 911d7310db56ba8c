"""demo, local, config and init as a user types them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import RunDbops, Served, clean_environment

SECRET = "s3cr3t-sentinel"


def servers_below(folder: Path) -> list[int]:
    """Return the pids of processes that work in `folder`, servers and backends."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            cwd = (entry / "cwd").readlink()
        except OSError:
            continue
        if cwd.is_relative_to(folder):
            found.append(int(entry.name))
    return found


def test_the_demo_tells_its_story_and_leaves_nothing(
    dbops: RunDbops, cache_dir: Path
) -> None:
    ran = dbops("demo")
    assert ran.code == 0, ran.err
    for step in ("create-db", "migrate", "ping", "pool", "lag"):
        assert f"dbops {step}" in ran.out
    assert "apply delay" in ran.out
    assert "Traceback" not in ran.err
    assert servers_below(cache_dir) == []
    assert list(cache_dir.rglob("postmaster.pid")) == []


def test_the_demo_is_one_document_in_json(dbops: RunDbops) -> None:
    ran = dbops("demo", "--format", "json")
    assert ran.code == 0
    steps = ran.json["result"]["steps"]
    assert [step["result"]["status"] for step in steps] == ["ok"] * 5 + ["fail"]
    assert steps[-1]["result"]["cause"] == "apply_delay"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("after_s", [0.3, 0.9, 1.8])
def test_the_demo_leaves_no_server_whatever_ends_it(
    cache_dir: Path, tmp_path: Path, number: int, after_s: float
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "dbops", "demo"],
        env=clean_environment(cache_dir),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(after_s)
    process.send_signal(number)
    assert process.wait(timeout=30) in (0, -number, 128 + number)
    deadline = time.monotonic() + 10
    while servers_below(cache_dir) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert servers_below(cache_dir) == []


def test_a_pair_stands_in_where_nothing_is_configured(dbops: RunDbops) -> None:
    try:
        up = dbops("local", "up", "--format", "json")
        assert up.code == 0, up.err
        assert up.json["result"]["state"] == "running"
        ping = dbops("ping", "--format", "json")
        assert ping.code == 0
        assert "using the local pair" in ping.err
        assert [e["role"] for e in ping.json["result"]["endpoints"]] == [
            "writer",
            "reader",
        ]
        assert dbops("local", "lag", "2s").code == 0
        lag = dbops("local", "status", "--format", "json").json["result"]["reader"]
        assert lag["apply_delay_s"] == 2
        assert dbops("local", "lag", "0s").code == 0
        assert dbops("local", "pause").code == 0
        assert dbops("lag", "--format", "json").json["result"]["cause"] == (
            "replay_paused"
        )
        assert dbops("local", "resume").code == 0
        assert dbops("local", "promote").code == 0
        assert dbops("lag").code == 1
        assert dbops("local", "reset").code == 0
        assert dbops("lag").code == 0
    finally:
        down = dbops("local", "down", "--format", "json")
    assert down.code == 0
    assert down.json["result"]["state"] == "stopped"
    assert dbops("ping").code == 4


@pytest.mark.usefixtures("template")
@pytest.mark.parametrize("code", [0, 3, 77])
def test_run_exits_as_its_command_does(dbops: RunDbops, code: int) -> None:
    program = (
        f"import os, sys; print(os.environ['DATABASE_URL'][:13]); sys.exit({code})"
    )
    ran = dbops("local", "run", "--", sys.executable, "-c", program)
    assert ran.code == code
    assert ran.out == "postgresql://\n"


@pytest.mark.usefixtures("template")
def test_run_reports_the_signal_that_killed_its_command(dbops: RunDbops) -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert dbops("local", "run", "--", sys.executable, "-c", program).code == 137


@pytest.mark.usefixtures("template")
def test_run_passes_options_on_to_its_command(dbops: RunDbops) -> None:
    program = "import sys; print(sys.argv[1:])"
    ran = dbops("local", "run", "--", sys.executable, "-c", program, "--format", "x")
    assert ran.out == "['--format', 'x']\n"


@pytest.mark.usefixtures("template")
def test_run_gives_its_command_two_servers_that_work(dbops: RunDbops) -> None:
    words = (sys.executable, "-m", "dbops", "lag", "--format", "json")
    ran = dbops("local", "run", "--", *words)
    assert ran.code == 0, ran.err
    assert ran.json["result"]["freshness"] == "fresh"


@pytest.mark.usefixtures("template")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_run_ends_command_and_servers(
    tmp_path: Path, cache_dir: Path, number: int
) -> None:
    program = (
        "import signal, sys, time; "
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('ended')); "
        "print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "dbops", "local", "run", "--"),
            *(sys.executable, "-c", program),
        ],
        env=clean_environment(cache_dir),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, number)
    process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert servers_below(cache_dir) == []


def test_config_masks_every_secret_and_names_every_source(
    dbops: RunDbops, tmp_path: Path
) -> None:
    (tmp_path / "dbops.toml").write_text("pool_size = 7\n")
    (tmp_path / "more.env").write_text(f"DB_PASSWORD={SECRET}\n")
    env = {
        "DATABASE_URL": f"postgresql://u:{SECRET}@h/d?sslmode=require",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    words = ("config", "--set", "--timeout", "5s", "--env-file", "more.env")
    human = dbops(*words, env=env)
    ran = dbops(*words, "--format", "json", env=env)
    assert (human.code, ran.code) == (0, 0)
    assert SECRET not in human.out + human.err + ran.out + ran.err
    listed = {s["name"]: s for s in json.loads(ran.out)["result"]["settings"]}
    assert (
        listed["database_url"]["value"] == "postgresql://u:***@h:5432/d?sslmode=require"
    )
    assert listed["database_url"]["source"] == "environment"
    assert listed["db_password"]["source"] == "more.env"
    assert listed["pool_size"]["source"] == "dbops.toml"
    assert listed["timeout"]["source"] == "flag"


def test_a_hostile_database_name_reaches_the_terminal_escaped(
    dbops: RunDbops, served: Served
) -> None:
    name = "\x1b]0;evil\x07[bold]"
    ran = dbops("create-db", name, env=served.environment)
    try:
        assert ran.code == 0
        assert "\x1b" not in ran.out
        assert "\\x1b]0;evil\\x07[bold]" in ran.out
    finally:
        assert dbops("drop-db", name, "--yes", env=served.environment).code == 0


def test_setup_is_idempotent(dbops: RunDbops, served: Served, tmp_path: Path) -> None:
    dbops("init")
    (tmp_path / "migrations" / "versions" / "a.py").write_text(
        "from alembic import op\nrevision, down_revision = 'a', None\n"
        "def upgrade():\n    op.execute('CREATE TABLE a (n int)')\n"
    )
    env = {
        name: url.replace(served.name, f"{served.name}_setup")
        for name, url in served.environment.items()
    }
    try:
        first = dbops("setup", "--wait", "30s", "--format", "json", env=env)
        second = dbops("setup", "--format", "json", env=env)
        assert (first.code, second.code) == (0, 0), first.err
        assert first.json["result"]["create_db"]["created"] is True
        assert second.json["result"]["create_db"]["created"] is False
        assert len(first.json["result"]["migrate"]["applied"]) == 1
        assert second.json["result"]["migrate"]["applied"] == []
        assert first.json["result"]["lag"]["freshness"] == "fresh"
    finally:
        dbops("drop-db", "--yes", "--force", env=env)
