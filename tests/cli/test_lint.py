"""lint: exit code, stdout, stderr."""

import subprocess
import sys
from pathlib import Path

import pytest

from dbops.operations.init import starter_folder
from tests.conftest import RunDbops, Served, clean_environment

STARTER = str(starter_folder() / "alembic.ini")
NOWHERE = "postgresql://u:s3cr3t-sentinel@127.0.0.1:1/x"
UNSIZED = "note: no database is configured: sizes are unknown\n"


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    path = tmp_path / "drop.sql"
    path.write_text("SELECT 1;\nDROP TABLE users;\n")
    return path


def test_a_safe_history_is_ok(dbops: RunDbops, served: Served) -> None:
    ran = dbops("lint", "-c", STARTER, "--format", "json", env=served.environment)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["status"] == "ok"
    assert ran.json["result"]["judged"] == ["0001", "0002"]
    assert ran.json["result"]["sizes_from"] == "reader"


def test_nothing_pending_is_ok(dbops: RunDbops, served: Served) -> None:
    dbops("migrate", "-c", STARTER, env=served.environment)
    ran = dbops("lint", "-c", STARTER, "--format", "json", env=served.environment)
    assert ran.code == 0
    assert ran.json["result"]["judged"] == []


def test_a_file_needs_no_server_and_no_project(dbops: RunDbops, drop: Path) -> None:
    for words in (["drop.sql"], ["--file", "drop.sql"]):
        ran = dbops("lint", *words, "--format", "json")
        assert (ran.code, ran.err) == (1, UNSIZED)
        (found,) = ran.json["result"]["findings"]
        assert set(found) >= {
            "revision",
            "rule",
            "severity",
            "statement",
            "message",
            "remedy",
            "line",
        }
        assert (found["rule"], found["severity"], found["line"]) == (
            "drop-table",
            "fail",
            2,
        )
        assert found["rows"] is None


def test_standard_input_is_read(cache_dir: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "dbops", "lint", "-", "--format", "json"],
        input=b"DROP TABLE users",
        env=clean_environment(cache_dir),
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 1
    assert b'"rule": "drop-table"' in ran.stdout


def test_a_person_reads_what_where_why_and_what_instead(
    dbops: RunDbops, drop: Path
) -> None:
    ran = dbops("lint", "drop.sql")
    assert ran.code == 1
    assert ran.out.startswith("fail\n")
    lines = [line.strip() for line in ran.out.splitlines()]
    assert "fail  drop-table  drop.sql:2" in lines
    assert "DROP TABLE users" in lines
    assert any(line.startswith("instead: ") for line in lines)


def test_github_gets_an_annotation_for_each_finding_and_nothing_else(
    dbops: RunDbops, drop: Path
) -> None:
    ran = dbops("lint", "drop.sql", "--format", "github")
    assert ran.code == 1
    assert ran.out.startswith(
        "::error file=drop.sql,line=2,title=dbops lint%3A drop-table::"
    )
    assert ran.out.count("\n") == 1
    drop.write_text("SELECT 1")
    ran = dbops("lint", "drop.sql", "--format", "github")
    assert (ran.code, ran.out) == (0, "")


def test_an_error_is_an_annotation_as_well(dbops: RunDbops) -> None:
    ran = dbops("lint", "none.sql", "--format", "github")
    assert ran.code == 2
    assert ran.out.startswith("::error title=dbops lint::none.sql cannot be read")
    assert ran.err.endswith(
        "error: none.sql cannot be read: No such file or directory\n"
    )


def test_a_warning_fails_where_that_is_asked_for(dbops: RunDbops, drop: Path) -> None:
    drop.write_text("DROP INDEX i")
    assert dbops("lint", "drop.sql").code == 0
    assert dbops("lint", "drop.sql", "--fail-on", "warn").code == 1
    ran = dbops("lint", "drop.sql", env={"DBOPS_FAIL_ON": "warn"})
    assert ran.code == 1
    assert dbops("lint", "drop.sql", "--fail-on", "x").code == 2


def test_a_silent_server_leaves_the_whole_history(dbops: RunDbops) -> None:
    ran = dbops("lint", "-c", STARTER, env={"DATABASE_URL": NOWHERE})
    assert ran.code == 0
    assert "the whole history is judged: nothing listens on 127.0.0.1:1" in ran.err
    assert "no sizes from the writer" in ran.err
    assert "s3cr3t-sentinel" not in ran.out + ran.err


def test_a_database_that_is_ahead_is_refused(
    dbops: RunDbops, served: Served, tmp_path: Path
) -> None:
    dbops("init", env=served.environment)
    revision = tmp_path / "migrations" / "versions" / "a1.py"
    revision.write_text(
        "revision, down_revision = 'a1', None\ndef upgrade():\n    pass\n"
    )
    assert dbops("migrate", env=served.environment).code == 0
    revision.rename(revision.with_name("b2.py")).write_text(
        "revision, down_revision = 'b2', None\ndef upgrade():\n    pass\n"
    )
    ran = dbops("lint", env=served.environment)
    assert ran.code == 6
    assert "ahead of this code" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ("none.sql",),
        ("drop.sql", "base:head"),
        ("base:head", "base:head"),
        ("nowhere:head", "-c", STARTER),
        ("a:b:c", "-c", STARTER),
        ("0002:0001", "-c", STARTER),
        ("--file", "."),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    dbops: RunDbops, drop: Path, words: tuple[str, ...]
) -> None:
    ran = dbops("lint", *words)
    assert ran.code == 2
    assert "error: " in ran.err
    assert "Traceback" not in ran.err


def test_without_a_project_there_is_a_hint(dbops: RunDbops) -> None:
    ran = dbops("lint")
    assert ran.code == 4
    assert "hint: " in ran.err
