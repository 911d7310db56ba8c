"""`dbops doctor` from outside: exit codes, documents, and what a person reads."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from dbops.endpoint import Address
from tests.conftest import RunDbops, Served, clean_environment
from tests.server.doctored import session

# The servers of these tests do not wait for the disk, which D38 says.
WITHOUT_D38 = ("--skip", "D38", "--interval", "100ms")
# Names that would drive a terminal, or be read as markup.
EVIL = 'CREATE UNLOGGED TABLE "[red]x[/red] \x1b[31m; ' + 'drop\n" (n int)'
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
async def evil(served: Served) -> Served:
    """A database with a finding about a hostile name."""
    async with session(served.writer) as admin:
        await admin.execute(EVIL)
    return served


def in_terminal(
    *words: str, env: Mapping[str, str], cwd: Path, columns: int = 80
) -> tuple[int, str]:
    """Run dbops on a pseudo-terminal, and return its exit code and what it shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dbops", *words],
        env={**env, "COLUMNS": str(columns), "TERM": "xterm-256color"},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # Linux says so where the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    process.communicate(timeout=60)
    return process.returncode, shown.decode().replace("\r\n", "\n")


def test_a_healthy_database_is_ok(dbops: RunDbops, served: Served) -> None:
    ran = dbops("doctor", *WITHOUT_D38, "--format", "json", env=served.environment)
    assert (ran.code, ran.json["status"], ran.json["error"]) == (0, "ok", None)
    checks = ran.json["result"]["checks"]
    assert [it["id"] for it in checks] == sorted(it["id"] for it in checks)
    assert sum(ran.json["result"]["counts"].values()) == len(checks)
    assert {
        "id",
        "title",
        "status",
        "summary",
        "findings",
        "duration_ms",
        "requires",
    } <= (checks[0].keys())
    assert ran.err == ""


def test_a_finding_fails_until_it_is_accepted(dbops: RunDbops, served: Served) -> None:
    only = ("doctor", "--only", "D38", "--format", "json")
    assert dbops(*only, env=served.environment).code == 1
    accepted = ("--ignore", "D38:fsync", "--reason", "a lab")
    ran = dbops(*only, *accepted, env=served.environment)
    assert (ran.code, ran.json["status"]) == (0, "ok")
    (check,) = [it for it in ran.json["result"]["checks"] if it["id"] == "D38"]
    assert check["findings"] == []
    assert {it["reason"] for it in check["accepted"]} == {"a lab"}


@pytest.mark.parametrize(
    "words",
    [
        ("--only", "D99"),
        ("--skip", "lag"),
        ("--limit", "D20=5"),
        ("--limit", "D20=soon"),
        ("--ignore", "D20:x"),
        ("--only", "D20", "--skip", "D20"),
        ("--interval", "1"),
    ],
)
def test_a_bad_option_is_one_sentence_and_a_hint(
    dbops: RunDbops, served: Served, words: tuple[str, ...]
) -> None:
    ran = dbops("doctor", *words, env=served.environment)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert "\nhint: " in ran.err
    assert "Traceback" not in ran.err


def test_what_is_chosen_may_stand_in_the_project_file(
    dbops: RunDbops, evil: Served, tmp_path: Path
) -> None:
    (tmp_path / "dbops.toml").write_text(
        'only = ["D35", "D42"]\n'
        'limit = ["D42=1ms"]\n'
        'ignore = ["D35:* # a cache, says Bob"]\n'
    )
    ran = dbops("doctor", "--format", "json", env=evil.environment)
    assert ran.code == 0
    checks = {it["id"]: it for it in ran.json["result"]["checks"]}
    assert checks["D35"]["accepted"][0]["reason"] == "a cache, says Bob"
    assert checks["D42"]["notes"] == []
    assert not checks["D20"]["applies"]


def test_a_writer_that_is_away_is_unreachable_and_the_reader_is_heard(
    dbops: RunDbops, served: Served
) -> None:
    nowhere = replace(served.writer, addresses=(Address("127.0.0.1", 1),))
    env = {**served.environment, "DATABASE_URL": nowhere.url(show_password=True)}
    ran = dbops("doctor", *WITHOUT_D38, env=env)
    assert ran.code == 5
    assert ran.out.startswith("fail: ")
    assert "D20 long transactions" in ran.out
    assert ran.err.startswith("error: nothing listens on 127.0.0.1:1\nhint: ")


def test_without_a_database_it_is_a_config_error(dbops: RunDbops) -> None:
    ran = dbops("doctor")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("error: no database is configured\nhint: ")


def test_a_person_reads_the_verdict_first_and_nothing_is_broken_off(
    evil: Served, cache_dir: Path, tmp_path: Path
) -> None:
    env = {**clean_environment(cache_dir), **evil.environment}
    words = ("doctor", "--interval", "100ms", "--ignore", "D04", "--reason", "no")
    code, shown = in_terminal(*words, env=env, cwd=tmp_path)
    assert code == 1
    lines = [ESCAPE.sub("", line).rstrip() for line in shown.splitlines()]
    assert lines[0].startswith("fail: 1 fail, ")
    heads = [line.split()[0] for line in lines[1:] if line and line[0] != " "]
    order = ("fail", "warn", "info", "unknown", "accepted", "notes", "ok", "n/a")
    assert heads == [it for it in order if it in heads]
    assert {"fail", "info", "ok", "n/a"} <= set(heads)
    assert any(line.startswith("fail     D38 dangerous settings") for line in lines)
    remedy = "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()"
    assert remedy in [line.strip() for line in lines]
    # Whatever is broken to fit is a sentence, never what somebody pastes.
    sentences = [line for line in lines if not line.startswith(" " * 11)]
    assert max(map(len, sentences)) <= 80


def test_a_hostile_name_drives_no_terminal(
    evil: Served, cache_dir: Path, tmp_path: Path
) -> None:
    env = {**clean_environment(cache_dir), **evil.environment}
    _, shown = in_terminal("doctor", "--only", "D35", env=env, cwd=tmp_path)
    plain = ESCAPE.sub("", shown)
    assert "\x1b" not in plain
    # A long name is broken between two lines.
    assert r"[red]x[/red]\x1b[31m;drop\n" in re.sub(r"\s", "", plain)


def test_a_reader_who_has_gone_is_no_verdict(cache_dir: Path, served: Served) -> None:
    command = f"{sys.executable} -m dbops ping | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        env={**clean_environment(cache_dir), **served.environment},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (141, b"")
