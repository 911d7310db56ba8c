"""Every command: healthy, unhealthy, unreachable, refused; code, stdout, stderr."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from dbops.operations.init import starter_folder
from tests.conftest import RunDbops, Served, clean_environment, new_name

STARTER = str(starter_folder() / "alembic.ini")
REFUSED_PORT = "postgresql://u:s3cr3t-sentinel@127.0.0.1:1/x"
SECRET = "s3cr3t-sentinel"


@pytest.fixture
def deaf_server() -> Generator[str]:
    """Return the URL of a server that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        yield f"postgresql://u:{SECRET}@127.0.0.1:{port}/x"


SERVER_COMMANDS = [
    ("setup", "-c", STARTER),
    ("create-db",),
    ("drop-db", "--yes"),
    ("create-tables", "tests_models:metadata"),
    ("migrate", "-c", STARTER),
    ("status", "-c", STARTER),
    ("ping",),
    ("pool",),
    ("lag",),
]


def short(words: tuple[str, ...]) -> str:
    return words[0]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "tests_models.py").write_text(
        "from sqlalchemy import Column, Integer, MetaData, Table\n"
        "metadata = MetaData()\n"
        "Table('things', metadata, Column('id', Integer, primary_key=True))\n"
    )
    return tmp_path


@pytest.mark.parametrize("words", SERVER_COMMANDS, ids=short)
def test_healthy_is_zero_and_one_json_document(
    dbops: RunDbops, served: Served, models: Path, words: tuple[str, ...]
) -> None:
    if words[0] == "status":
        dbops("migrate", "-c", STARTER, env=served.environment)
    ran = dbops(*words, "--format", "json", env=served.environment)
    assert ran.code == 0, ran.err
    assert ran.err == ""
    assert set(ran.json) == {
        "command",
        "target",
        "status",
        "exit_code",
        "error",
        "result",
    }
    assert ran.json["command"] == words[0]
    assert ran.json["error"] is None
    assert ran.json["exit_code"] == 0
    assert ran.out.count("\n") == 1


@pytest.mark.parametrize("words", SERVER_COMMANDS, ids=short)
def test_healthy_says_ok_to_a_person(
    dbops: RunDbops, served: Served, models: Path, words: tuple[str, ...]
) -> None:
    if words[0] == "status":
        dbops("migrate", "-c", STARTER, env=served.environment)
    ran = dbops(*words, env=served.environment)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("ok\n")
    assert "\x1b" not in ran.out


@pytest.mark.parametrize("words", SERVER_COMMANDS, ids=short)
def test_a_refused_port_is_unreachable(
    dbops: RunDbops, models: Path, words: tuple[str, ...]
) -> None:
    env = {"DATABASE_URL": REFUSED_PORT, "DATABASE_READER_URL": REFUSED_PORT}
    ran = dbops(*words, "--format", "json", env=env)
    assert ran.code == 5
    assert ran.json["exit_code"] == 5
    assert ran.json["error"]["type"] == "UnreachableError"
    assert ran.json["error"]["retryable"] is True
    assert ran.json["error"]["hint"]
    human = dbops(*words, env=env)
    assert human.code == 5
    assert "error: nothing listens on 127.0.0.1:1" in human.err
    assert "hint: " in human.err
    for text in (ran.out, ran.err, human.out, human.err):
        assert SECRET not in text
        assert "Traceback" not in text


@pytest.mark.parametrize("words", SERVER_COMMANDS, ids=short)
def test_a_server_that_says_nothing_is_unreachable_in_time(
    dbops: RunDbops, deaf_server: str, models: Path, words: tuple[str, ...]
) -> None:
    env = {"DATABASE_URL": deaf_server, "DATABASE_READER_URL": deaf_server}
    ran = dbops(*words, "--timeout", "500ms", "--format", "json", env=env)
    assert ran.code == 5
    assert ran.json["error"]["message"]
    assert SECRET not in ran.out + ran.err


@pytest.mark.parametrize("words", SERVER_COMMANDS, ids=short)
def test_no_settings_at_all_is_a_configuration_error_with_a_hint(
    dbops: RunDbops, models: Path, words: tuple[str, ...]
) -> None:
    ran = dbops(*words)
    assert ran.code == 4
    assert ran.out == ""
    assert "error: no database is configured" in ran.err
    assert "dbops local up" in ran.err


@pytest.mark.parametrize("words", SERVER_COMMANDS, ids=short)
def test_a_wrong_password_is_a_configuration_error(
    dbops: RunDbops, served: Served, models: Path, words: tuple[str, ...]
) -> None:
    env = {
        name: f"postgresql://dbops:{SECRET}@{endpoint.addresses[0]}/{served.name}"
        for name, endpoint in (
            ("DATABASE_URL", served.writer),
            ("DATABASE_READER_URL", served.reader),
        )
    }
    ran = dbops(*words, "--format", "json", env=env)
    assert ran.code == 4
    assert ran.json["error"]["type"] == "CredentialsError"
    assert ran.json["error"]["sqlstate"] == "28P01"
    assert SECRET not in ran.out + ran.err


@pytest.mark.parametrize(
    "words", [w for w in SERVER_COMMANDS if w[0] in ("ping", "pool", "lag", "migrate")]
)
def test_a_missing_database_is_refused(
    dbops: RunDbops, served: Served, words: tuple[str, ...]
) -> None:
    gone = new_name("gone")
    env = {
        "DATABASE_URL": served.writer.with_database(gone).url(show_password=True),
        "DATABASE_READER_URL": served.reader.with_database(gone).url(
            show_password=True
        ),
    }
    ran = dbops(*words, "--format", "json", env=env)
    assert ran.code == 6
    assert ran.json["error"]["sqlstate"] == "3D000"
    assert "create-db" in ran.json["error"]["hint"]


@pytest.mark.parametrize(
    "words",
    [w for w in SERVER_COMMANDS if w[0] not in ("pool", "status", "drop-db", "setup")],
    ids=short,
)
def test_a_standby_given_as_the_writer_is_refused(
    dbops: RunDbops, served: Served, models: Path, words: tuple[str, ...]
) -> None:
    reader = served.environment["DATABASE_READER_URL"]
    name = (new_name(),) if words[0] == "create-db" else ()
    ran = dbops(
        *words,
        *name,
        "--format",
        "json",
        env={"DATABASE_URL": reader, "DATABASE_READER_URL": reader},
    )
    assert ran.code == 6, ran.out
    assert ran.json["error"]["type"] == "RefusedError"


def test_pending_migrations_are_three(dbops: RunDbops, served: Served) -> None:
    ran = dbops("status", "-c", STARTER, "--format", "json", env=served.environment)
    assert ran.code == 3
    assert ran.json["result"]["state"] == "empty"
    assert len(ran.json["result"]["pending"]) == 2


def test_a_failing_revision_is_one(
    dbops: RunDbops, served: Served, tmp_path: Path
) -> None:
    assert dbops("init").code == 0
    (tmp_path / "migrations" / "versions" / "a.py").write_text(
        "from alembic import op\nrevision, down_revision = 'a', None\n"
        "def upgrade():\n    op.execute('SELECT no_such_thing')\n"
    )
    ran = dbops("migrate", "--format", "json", env=served.environment)
    assert ran.code == 1
    assert "revision a failed" in ran.json["error"]["message"]
    assert ran.json["error"]["sqlstate"] == "42703"


def test_print_in_env_py_does_not_spoil_the_document(
    dbops: RunDbops, served: Served, tmp_path: Path
) -> None:
    dbops("init")
    env_py = tmp_path / "migrations" / "env.py"
    env_py.write_text("print('hello from env.py')\n" + env_py.read_text())
    ran = dbops("migrate", "--format", "json", env=served.environment)
    assert ran.json["result"]["applied"] == []
    assert "hello from env.py" in ran.err


def test_a_lock_that_somebody_holds_is_seven(dbops: RunDbops, served: Served) -> None:
    code = (
        "import asyncio, sys; from dbops.engine.connect import connect\n"
        "from dbops.endpoint import parse_url\n"
        "async def hold():\n"
        "    c = await connect(parse_url(sys.argv[1]))\n"
        '    await c.execute("SELECT pg_catalog.pg_advisory_lock("\n'
        '        "pg_catalog.hashtextextended('
        "'dbops:migrate:public.alembic_version', 0))\")\n"
        "    print('held', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(hold())\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, served.environment["DATABASE_URL"]],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        ran = dbops(
            "migrate",
            *("-c", STARTER, "--lock-timeout", "300ms", "--format", "json"),
            env=served.environment,
        )
        assert ran.code == 7
        assert ran.json["error"]["type"] == "LockedError"
    finally:
        holder.kill()
        holder.communicate()


def test_lag_beyond_the_threshold_is_one_and_a_warning_is_zero(
    dbops: RunDbops, served: Served
) -> None:
    writer = served.environment["DATABASE_URL"]
    same = {"DATABASE_URL": writer, "DATABASE_READER_URL": writer}
    warned = dbops("lag", "--format", "json", env=same)
    assert (warned.code, warned.json["status"]) == (0, "warn")
    failed = dbops("lag", "--require-replica", "--format", "json", env=same)
    assert (failed.code, failed.json["status"]) == (1, "fail")
    assert failed.json["result"]["cause"] == "reader_is_writer"
    assert failed.json["result"]["lag_low_s"] is None


@pytest.mark.parametrize(
    "words",
    [
        ("lag", "--warn", "5"),
        ("lag", "--fail", "soon"),
        ("lag", "--warn", "10s", "--fail", "5s"),
        ("ping", "--timeout", "5"),
        ("ping", "--format", "yaml"),
        ("ping", "--nonsense"),
        ("wait", "--for", "godot"),
        ("create-db", "n" * 64),
        ("create-tables", "nowhere"),
        ("create-tables",),
        ("ping", "--target", "nowhere"),
        ("nonsense",),
        ("local", "lag", "2"),
        ("local", "run", "--", "/no/such/program"),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_two(
    dbops: RunDbops, served: Served, words: tuple[str, ...]
) -> None:
    ran = dbops(*words, env=served.environment)
    assert ran.code == 2, ran.out + ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert ran.err


@pytest.mark.parametrize(
    "env",
    [
        {"DATABASE_URL": f"mysql://u:{SECRET}@h/d"},
        {"DATABASE_URL": f"postgresql://u:{SECRET}@h:port/d"},
        {"DATABASE_URL": f"postgresql://u:{SECRET}@h/d?sslmode=maybe"},
        {"DATABASE_URL": f"postgresql://u:{SECRET}@h/d?sslmodee=require"},
        {"DB_HOST": "h", "DB_PORT": SECRET},
        {"DATABASE_URL": "postgresql://h/d", "DBOPS_TIMEOUT": "5"},
        {"DATABASE_URL": "postgresql://h/d", "DBOPS_POOL_SIZE": "many"},
    ],
)
def test_a_malformed_setting_is_four_and_is_not_repeated(
    dbops: RunDbops, env: dict[str, str]
) -> None:
    ran = dbops("ping", "--format", "json", env=env)
    assert ran.code == 4
    assert ran.json["error"]["type"] == "ConfigError"
    assert ran.json["error"]["hint"]
    assert SECRET not in ran.out + ran.err


def test_help_works_with_a_broken_environment(dbops: RunDbops, tmp_path: Path) -> None:
    (tmp_path / "dbops.toml").write_text("[broken")
    env = {"DBOPS_TIMEOUT": "nonsense", "DATABASE_URL": "nonsense"}
    assert dbops("--help", env=env).code == 0
    assert dbops("ping", "--help", env=env).code == 0
    assert dbops("ping", env=env).code == 4


def test_every_command_has_an_example(dbops: RunDbops) -> None:
    listed = [w[0] for w in SERVER_COMMANDS] + ["wait", "config", "init", "demo"]
    local = [
        "up",
        "down",
        "status",
        "reset",
        "lag",
        "pause",
        "resume",
        "promote",
        "run",
    ]
    for words in [(name,) for name in listed] + [("local", name) for name in local]:
        ran = dbops(*words, "--help")
        assert ran.code == 0
        assert f"Example: dbops {' '.join(words)}" in " ".join(ran.out.split())


def test_wait_gives_up_in_time_and_says_why(dbops: RunDbops) -> None:
    ran = dbops(
        "wait",
        "--timeout",
        "3s",
        "--format",
        "json",
        env={"DATABASE_URL": REFUSED_PORT},
    )
    assert ran.code == 5
    assert "nothing listens" in ran.json["error"]["message"]


def test_wait_for_the_server_is_content_without_the_database(
    dbops: RunDbops, served: Served
) -> None:
    env = {
        "DATABASE_URL": served.writer.with_database(new_name()).url(show_password=True)
    }
    assert dbops("wait", "--for", "server", env=env).code == 0
    ran = dbops("wait", "--for", "database", "--timeout", "3s", env=env)
    assert ran.code == 6


def test_dropping_without_yes_is_refused_where_nobody_can_be_asked(
    dbops: RunDbops, served: Served
) -> None:
    ran = dbops("drop-db", env=served.environment)
    assert ran.code == 6
    assert "--yes" in ran.err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_the_command_with_its_code(
    deaf_server: str, tmp_path: Path, cache_dir: Path, number: int, code: int
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "dbops", "wait", "--timeout", "30s", "--format", "json"],
        env={**clean_environment(cache_dir), "DATABASE_URL": deaf_server},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
    )
    # The first connection attempt fails after 5 s and is then told on stderr.
    assert process.stderr is not None
    assert "waiting" in process.stderr.readline()
    process.send_signal(number)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == code
    document = json.loads(out)
    assert document["exit_code"] == code
    assert document["error"]["type"] == "Interrupted"


def test_two_targets_are_one_document_and_partial_when_one_fails(
    dbops: RunDbops, served: Served, tmp_path: Path
) -> None:
    (tmp_path / "dbops.toml").write_text(
        "[targets.good]\ndatabase_url = '$GOOD_URL'\n"
        f"[targets.bad]\ndatabase_url = '{REFUSED_PORT}'\n"
    )
    env = {"GOOD_URL": served.environment["DATABASE_URL"]}
    ran = dbops("ping", "--target", "*", "--format", "json", env=env)
    assert ran.code == 8
    assert ran.json["exit_code"] == 8
    assert [t["target"] for t in ran.json["targets"]] == ["good", "bad"]
    assert [t["exit_code"] for t in ran.json["targets"]] == [0, 5]
    one = dbops("ping", "-t", "good", "--format", "json", env=env)
    assert (one.code, one.json["target"]) == (0, "good")


@pytest.mark.parametrize("command", ["ping", "lag", "pool"])
def test_a_silent_server_is_named_before_the_overall_timeout(
    dbops: RunDbops, deaf_server: str, command: str
) -> None:
    env = {"DATABASE_URL": deaf_server, "DATABASE_READER_URL": deaf_server}
    ran = dbops(command, "--timeout", "3s", "--format", "json", env=env)
    assert ran.code == 5
    assert "127.0.0.1" in ran.json["error"]["message"]
    assert ran.json["error"]["phase"] == "tls"


def test_a_file_that_env_py_left_open_is_written(
    dbops: RunDbops, served: Served, tmp_path: Path
) -> None:
    dbops("init")
    env_py = tmp_path / "migrations" / "env.py"
    env_py.write_text(
        "left = open('left', 'w')\nleft.write('x')\n" + env_py.read_text()
    )
    assert dbops("migrate", env=served.environment).code == 0
    assert (tmp_path / "left").read_text() == "x"


@pytest.mark.parametrize("command", ["config", "status"])
def test_a_reader_that_goes_away_is_no_error_of_ours(
    served: Served, tmp_path: Path, cache_dir: Path, command: str
) -> None:
    read, write = os.pipe()
    os.close(read)
    options = () if command == "config" else ("-c", STARTER)
    process = subprocess.run(
        [sys.executable, "-m", "dbops", command, *options, "--format", "json"],
        env={**clean_environment(cache_dir), **served.environment},
        cwd=tmp_path,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert process.returncode == 128 + signal.SIGPIPE
    assert process.stderr == ""
