"""Every check in every form, as a monitoring system runs it."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dbops.engine.connect import connect
from tests.cli.test_exit_codes import REFUSED_PORT, SECRET, STARTER
from tests.conftest import Ran, RunDbops, Served, clean_environment, new_name
from tests.revisions import write_revision

PROBES = [
    ("ping",),
    ("lag",),
    ("pool",),
    ("doctor", "--only", "D20"),
    ("wait", "--for", "database"),
]
ON_REVISIONS = [
    ("check", "-c", STARTER, "--heads"),
    ("lint", "-c", STARTER),
    ("status", "-c", STARTER),
]
UNIT = r"(?:s|B|%)?"
VALUE = rf"(?:-?[0-9.]+{UNIT}|U)"
PERFDATA = rf"(?:'(?:[^'=|]|'')+'|[^'=| ]+)={VALUE}(?:;[0-9.]*){{0,2}}"
WORD = r"[A-Z-]+ (?:OK|WARNING|CRITICAL|UNKNOWN)"
FIRST_LINE = re.compile(rf"{WORD}: [^|]+(?: \| {PERFDATA}(?: {PERFDATA})*)?")


def short(words: tuple[str, ...]) -> str:
    return words[0]


def measured(ran: Ran) -> dict[str, float]:
    """Return the samples of an exposition, by name and labels as they are written."""
    for family in text_string_to_metric_families(ran.out):
        assert family.documentation
    lines = [it for it in ran.out.splitlines() if not it.startswith("#")]
    return {name: float(value) for name, value in (it.rsplit(" ", 1) for it in lines)}


def suites(ran: Ran) -> ET.Element:
    return ET.fromstring(ran.out)  # noqa: S314 # our own


@pytest.fixture
def both(served: Served, tmp_path: Path) -> dict[str, str]:
    """Name two targets, of which the second does not answer."""
    (tmp_path / "dbops.toml").write_text(
        "[targets.good]\ndatabase_url = '$URL'\ndatabase_reader_url = '$READER'\n"
        f"[targets.bad]\ndatabase_url = '{REFUSED_PORT}'\n"
        f"database_reader_url = '{REFUSED_PORT}'\n"
    )
    urls = served.environment
    return {"URL": urls["DATABASE_URL"], "READER": urls["DATABASE_READER_URL"]}


@pytest.fixture
async def plain(served: Served) -> AsyncGenerator[dict[str, str]]:
    """Return the settings of a role without privileges."""
    role = new_name("plain")
    admin = await connect(served.writer)
    try:
        await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        yield {
            "DATABASE_URL": f"postgresql://{role}:x@{served.writer.addresses[0]}/"
            f"{served.name}?sslmode=disable"
        }
        await admin.execute(f"DROP ROLE {role}")
    finally:
        await admin.close()


@pytest.mark.parametrize("words", PROBES, ids=short)
def test_a_healthy_database_in_every_form(
    dbops: RunDbops, served: Served, words: tuple[str, ...]
) -> None:
    env = served.environment
    plugin = dbops(*words, "--format", "nagios", env=env)
    first = plugin.out.splitlines()[0]
    assert plugin.code == 0, plugin.out + plugin.err
    assert first.startswith(f"{words[0].upper()} OK: ")
    assert FIRST_LINE.fullmatch(first), first
    exposed = dbops(*words, "--format", "prometheus", env=env)
    found = measured(exposed)
    assert exposed.code == 0
    assert found[f'dbops_{words[0]}_status{{status="ok"}}'] == 1
    assert found[f'dbops_up{{command="{words[0]}"}}'] == 1
    report = dbops(*words, "--format", "junit", env=env)
    root = suites(report)
    assert report.code == 0
    assert (root.get("failures"), root.get("errors")) == ("0", "0")
    assert list(root.iter("testcase"))


@pytest.mark.parametrize("words", ON_REVISIONS, ids=short)
def test_a_schema_at_head_in_a_report(
    dbops: RunDbops, served: Served, words: tuple[str, ...]
) -> None:
    if words[0] != "check":
        dbops("migrate", "-c", STARTER, env=served.environment)
    report = dbops(*words, "--format", "junit", env=served.environment)
    root = suites(report)
    assert report.code == 0
    assert (root.get("failures"), root.get("errors")) == ("0", "0")
    assert list(root.iter("testcase"))


def test_a_healthy_database_has_no_annotations(dbops: RunDbops, served: Served) -> None:
    ran = dbops("doctor", "--only", "D20", "--format", "github", env=served.environment)
    assert ran.code == 0
    assert "::error" not in ran.out
    assert "::warning" not in ran.out


@pytest.mark.parametrize("words", [*PROBES, ON_REVISIONS[-1]], ids=short)
def test_a_server_that_is_not_there_in_every_form(
    dbops: RunDbops, words: tuple[str, ...]
) -> None:
    env = {"DATABASE_URL": REFUSED_PORT, "DATABASE_READER_URL": REFUSED_PORT}
    short_wait = ("--timeout", "500ms") if words[0] == "wait" else ()

    def run(form: str) -> Ran:
        ran = dbops(*words, *short_wait, "--format", form, env=env)
        assert SECRET not in ran.out + ran.err
        assert "nothing listens on 127.0.0.1:1" in ran.out + ran.err
        return ran

    plugin = run("nagios")
    assert plugin.code == (2 if words[0] == "ping" else 3)
    word = "CRITICAL" if words[0] == "ping" else "UNKNOWN"
    assert plugin.out.startswith(f"{words[0].upper()} {word}: ")
    exposed = run("prometheus")
    found = measured(exposed)
    assert exposed.code == 5
    assert found[f'dbops_up{{command="{words[0]}"}}'] == 0
    assert found[f'dbops_{words[0]}_status{{status="ok"}}'] == 0
    if words[0] != "lag":
        return
    report = run("junit")
    assert report.code == 5
    assert list(suites(report).iter("failure")) or list(suites(report).iter("error"))
    annotated = run("github")
    assert annotated.code == 5
    assert annotated.out.startswith("::error title=dbops ")


def test_what_lag_knows_is_in_its_numbers(dbops: RunDbops, served: Served) -> None:
    plugin = dbops("lag", "--format", "nagios", env=served.environment)
    assert re.search(r" lag_low=0s;5;30 ", plugin.out)
    found = measured(dbops("lag", "--format", "prometheus", env=served.environment))
    assert any(it.startswith("dbops_lag_low_seconds") for it in found)


def test_what_lag_does_not_know_has_no_number(dbops: RunDbops, served: Served) -> None:
    env = {**served.environment, "DATABASE_READER_URL": REFUSED_PORT}
    exposed = dbops("lag", "--format", "prometheus", env=env)
    assert not any(it.startswith("dbops_lag_low_") for it in measured(exposed))
    plugin = dbops("lag", "--format", "nagios", env=env)
    assert "lag_low=0" not in plugin.out


def test_several_targets_are_one_answer_in_every_form(
    dbops: RunDbops, both: dict[str, str]
) -> None:
    words = ("ping", "-t", "*", "-q", "--format")
    plugin = dbops(*words, "nagios", env=both)
    first = plugin.out.splitlines()[0]
    assert plugin.code == 2
    assert first.startswith("PING CRITICAL: 2 targets: 1 ok, 1 fail; bad: ")
    assert FIRST_LINE.fullmatch(first), first
    exposed = dbops(*words, "prometheus", env=both)
    found = measured(exposed)
    assert exposed.code == 8
    assert found['dbops_up{target="good",command="ping"}'] == 1
    assert found['dbops_up{target="bad",command="ping"}'] == 0
    report = dbops(*words, "junit", env=both)
    assert report.code == 8
    assert [it.get("name") for it in suites(report)] == ["good", "bad"]
    annotated = dbops(*words, "github", env=both)
    assert annotated.code == 8
    assert "::error title=dbops ping (bad)" in annotated.out
    assert "(good)" not in annotated.out.replace("::error title=dbops ping (bad)", "")


def test_pending_revisions_warn_nagios_and_keep_their_code_elsewhere(
    dbops: RunDbops, served: Served
) -> None:
    words = ("status", "-c", STARTER, "--format")
    plugin = dbops(*words, "nagios", env=served.environment)
    assert plugin.code == 1
    assert plugin.out.startswith("STATUS WARNING: the database is at no revision; ")
    assert plugin.out.endswith(" | migrations_pending=2;1\n")
    exposed = dbops(*words, "prometheus", env=served.environment)
    assert exposed.code == 3
    assert measured(exposed)["dbops_migrations_pending"] == 2


def test_check_has_a_case_for_each_question(
    dbops: RunDbops, served: Served, tmp_path: Path
) -> None:
    dbops("init")
    write_revision(tmp_path, "a1", None, "pass")
    report = dbops("check", "--format", "junit", env=served.environment)
    cases = {
        str(it.get("name")).split()[0]: [child.tag for child in it]
        for it in suites(report).iter("testcase")
    }
    assert report.code == 3
    assert cases == {
        "heads": [],
        "version": ["failure"],
        "drift": ["skipped"],
        "indexes": [],
        "constraints": [],
    }


def test_lint_has_a_case_for_each_file(dbops: RunDbops, tmp_path: Path) -> None:
    (tmp_path / "drop.sql").write_text("DROP TABLE users")
    (tmp_path / "index.sql").write_text("DROP INDEX i")
    words = ("lint", "drop.sql", "index.sql", "--format")
    report = dbops(*words, "junit")
    assert report.code == 1
    cases = {it.get("name"): it[0].tag for it in suites(report).iter("testcase")}
    assert cases == {
        "drop.sql": "failure",
        "index.sql": "system-out",
    }
    strict = suites(dbops(*words, "junit", "--fail-on", "warn"))
    assert strict.get("failures") == "2"
    plugin = dbops(*words, "nagios")
    assert plugin.code == 2
    assert plugin.out.startswith("LINT CRITICAL: drop.sql: 1 to change: drop-table")
    assert " | lint_findings_warn=1 lint_findings_fail=1\n" in plugin.out


@pytest.mark.parametrize(
    "words",
    [
        ("lag", "--warn", "5"),
        ("lag", "--warn", "10s", "--fail", "5s"),
        ("ping", "--retries", "-1"),
        ("ping", "--fail-on", "never"),
        ("ping", "--nonsense"),
        ("pign",),
        ("local", "upp"),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_two_and_unknown_to_nagios(
    dbops: RunDbops, served: Served, words: tuple[str, ...]
) -> None:
    plugin = dbops(*words, "--format", "nagios", env=served.environment)
    assert plugin.code == 3, plugin.out
    assert " UNKNOWN: " in plugin.out.splitlines()[0]
    document = dbops(*words, "--format=json", env=served.environment)
    assert document.code == 2
    assert document.json["error"]["type"] == "UsageError"


def test_a_misuse_is_a_case_that_could_not_be_decided(
    dbops: RunDbops, served: Served
) -> None:
    env = {**served.environment, "DBOPS_FORMAT": "junit"}
    report = dbops("ping", "--nonsense", env=env)
    assert report.code == 2
    assert suites(report).get("errors") == "1"


@pytest.mark.parametrize("form", ["nagios", "prometheus", "github", "junit"])
def test_a_malformed_setting_is_said_and_not_repeated(
    dbops: RunDbops, form: str
) -> None:
    env = {"DATABASE_URL": f"mysql://u:{SECRET}@h/d", "DBOPS_FORMAT": form}
    ran = dbops("config", env={**env, "DBOPS_TIMEOUT": SECRET})
    assert ran.code == (3 if form == "nagios" else 4)
    assert "DBOPS_TIMEOUT" in ran.out + ran.err
    assert SECRET not in ran.out + ran.err


def test_the_form_comes_from_the_project_file_too(
    dbops: RunDbops, served: Served, tmp_path: Path
) -> None:
    (tmp_path / "dbops.toml").write_text("format = 'nagios'\n")
    assert dbops("ping", env=served.environment).out.startswith("PING OK: ")
    ran = dbops("ping", env={**served.environment, "DBOPS_FORMAT": "junit"})
    assert suites(ran).get("name") == "dbops ping"
    ran = dbops("ping", "--format", "json", env=served.environment)
    assert ran.json["status"] == "ok"


def test_a_form_that_nobody_knows_is_a_mistake_told_to_a_person(
    dbops: RunDbops, served: Served
) -> None:
    ran = dbops("ping", "--format", "yaml", env=served.environment)
    assert (ran.code, ran.out) == (2, "")
    assert "'nagios'" in ran.err


def test_the_bar_is_the_users(dbops: RunDbops, served: Served) -> None:
    writer = served.environment["DATABASE_URL"]
    same = {"DATABASE_URL": writer, "DATABASE_READER_URL": writer}
    assert dbops("lag", env=same).code == 0
    assert dbops("lag", env={**same, "DBOPS_FAIL_ON": "warn"}).code == 1
    plugin = dbops("lag", "--fail-on", "warn", "--format", "nagios", env=same)
    assert plugin.code == 1


def test_retries_are_said_for_each_target(
    dbops: RunDbops, both: dict[str, str]
) -> None:
    words = ("ping", "--retries", "2", "--interval", "10ms", "--format", "json")
    ran = dbops(*words, "-t", "bad", env=both)
    assert ran.code == 5
    assert ran.json["error"]["message"].startswith("nothing listens")
    assert ran.err.count("asking again (1 of 2): nothing listens on 127.0.0.1:1") == 1
    assert ran.err.count("asking again (2 of 2): nothing listens on 127.0.0.1:1") == 1
    ran = dbops(*words, "-t", "*", env=both)
    assert ran.code == 8
    assert ran.err.count("bad: asking again (") == 2
    assert "good: asking" not in ran.err


def test_a_monitoring_system_may_know_no_umlaut(
    dbops: RunDbops, served: Served, tmp_path: Path
) -> None:
    (tmp_path / "dbops.toml").write_text(
        "[targets.'grün']\ndatabase_url = '$URL'\n", encoding="utf-8"
    )
    env = {"URL": served.environment["DATABASE_URL"], "PYTHONIOENCODING": "ascii"}
    words = ("ping", "-t", "*", "--writer", "--format", "prometheus")
    ran = dbops(*words, env={**env, "PYTHONUTF8": "0"})
    assert ran.code == 0, ran.err
    assert r'target="gr\xfcn"' in ran.out


def test_what_a_role_may_not_see_is_unknown_with_the_grant(
    dbops: RunDbops, served: Served, plain: dict[str, str]
) -> None:
    words = ("doctor", "--only", "D20", "--format")
    plugin = dbops(*words, "nagios", env=plain)
    assert plugin.code == 3
    assert plugin.out.startswith("DOCTOR UNKNOWN: ")
    assert "GRANT pg_" in plugin.out
    report = dbops(*words, "junit", env=plain)
    assert report.code == 1
    assert "GRANT pg_" in str(next(suites(report).iter("error")).text)


def test_a_plugin_that_is_stopped_is_unknown(tmp_path: Path, cache_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "dbops", "ping", "--writer", "--format", "nagios"],
            env={
                **clean_environment(cache_dir),
                "DATABASE_URL": f"postgresql://u:{SECRET}@127.0.0.1:{port}/x",
            },
            stdout=subprocess.PIPE,
            cwd=tmp_path,
            text=True,
        )
        connection, _ = deaf.accept()
        with connection:
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=30)
    assert process.returncode == 3
    assert out.startswith("PING UNKNOWN: interrupted by SIGTERM\n")


def test_no_form_imports_what_another_needs(served: Served, cache_dir: Path) -> None:
    for form in ("nagios", "prometheus", "junit"):
        traced = subprocess.run(
            [
                sys.executable,
                "-X",
                "importtime",
                "-m",
                "dbops",
                "ping",
                "--format",
                form,
            ],
            env={**clean_environment(cache_dir), **served.environment},
            capture_output=True,
            text=True,
            check=True,
        )
        found = {it.rpartition("|")[2].strip() for it in traced.stderr.splitlines()}
        forms = {
            f"dbops.cli.{it}" for it in ("nagios", "prometheus", "junit", "github")
        }
        assert found & forms == {f"dbops.cli.{form}"}
        assert found.isdisjoint({"rich", "sqlalchemy", "alembic", "boto3"})


def test_a_document_of_several_targets_says_the_worst_of_what_is_no_failure(
    dbops: RunDbops, served: Served, tmp_path: Path
) -> None:
    (tmp_path / "dbops.toml").write_text(
        "[targets.a]\ndatabase_url = '$URL'\ndatabase_reader_url = '$READER'\n"
        "[targets.b]\ndatabase_url = '$URL'\ndatabase_reader_url = '$URL'\n"
    )
    urls = served.environment
    env = {"URL": urls["DATABASE_URL"], "READER": urls["DATABASE_READER_URL"]}
    ran = dbops("lag", "-t", "*", "--format", "json", env=env)
    assert (ran.code, ran.json["status"]) == (0, "warn")
    assert [it["status"] for it in json.loads(ran.out)["targets"]] == ["ok", "warn"]
