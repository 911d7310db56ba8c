"""Several targets on the command line: which, in which order, and what is said."""

from pathlib import Path

import pytest

from tests.conftest import RunDbops, Served

REFUSED_PORT = "postgresql://u:s3cr3t-sentinel@127.0.0.1:1/x"


@pytest.fixture
def six(tmp_path: Path) -> list[str]:
    """Write a project file of six targets, of which the second does not answer."""
    names = [f"tenant_{number}" for number in range(6)]
    urls = ["$URL"] * 6
    urls[1] = REFUSED_PORT
    (tmp_path / "dbops.toml").write_text(
        "".join(
            f"[targets.{name}]\ndatabase_url = '{url}'\n"
            for name, url in zip(names, urls, strict=True)
        )
    )
    return names


@pytest.fixture
def env(served: Served) -> dict[str, str]:
    return {"URL": served.environment["DATABASE_URL"]}


@pytest.mark.parametrize("jobs", [(), ("--jobs", "1"), ("--jobs", "20")])
def test_the_report_has_the_order_of_the_file(
    dbops: RunDbops, six: list[str], env: dict[str, str], jobs: tuple[str, ...]
) -> None:
    ran = dbops("ping", "-t", "*", "--format", "json", *jobs, env=env)
    assert ran.code == 8
    assert [it["target"] for it in ran.json["targets"]] == six
    assert [it["exit_code"] for it in ran.json["targets"]] == [0, 5, 0, 0, 0, 0]
    assert ran.out.count("\n") == 1


def test_many_targets_are_a_table_with_a_row_each(
    dbops: RunDbops, six: list[str], env: dict[str, str]
) -> None:
    ran = dbops("ping", "-t", "*", env=env)
    first, *_ = ran.out.splitlines()
    assert first == "fail"
    for name in six:
        assert sum(name in line for line in ran.out.splitlines()) == 1
    assert "nothing listens on 127.0.0.1:1" in ran.out
    assert "] tenant_1: error: nothing listens on 127.0.0.1:1" in ran.err
    assert "[6/6] " in ran.err
    assert "6 targets: 5 ok, 1 failed" in ran.err
    assert ran.err.count("hint: ") == 1
    assert "s3cr3t-sentinel" not in ran.out + ran.err


def test_quiet_leaves_the_errors(
    dbops: RunDbops, six: list[str], env: dict[str, str]
) -> None:
    ran = dbops("ping", "-t", "*", "-q", env=env)
    assert ran.err.startswith("error: tenant_1: nothing listens on 127.0.0.1:1")
    assert "[1/6]" not in ran.err
    assert "targets:" not in ran.err


def test_few_targets_are_shown_in_full(
    dbops: RunDbops, six: list[str], env: dict[str, str]
) -> None:
    ran = dbops("ping", "-t", "tenant_0", "-t", "tenant_2", env=env)
    assert ran.code == 0
    assert ran.out.count("server version") == 2
    assert ran.out.split()[0] == "tenant_0"


def test_a_target_whose_settings_are_wrong_fails_alone(
    dbops: RunDbops, env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "dbops.toml").write_text(
        "[targets.bad]\ndatabase_url = '$NOT_SET'\n"
        "[targets.good]\ndatabase_url = '$URL'\n"
    )
    ran = dbops("ping", "-t", "*", "--format", "json", env=env)
    assert ran.code == 8
    assert [it["exit_code"] for it in ran.json["targets"]] == [4, 0]


@pytest.mark.parametrize(
    ("query", "code", "says"),
    [
        ("", 2, "is empty"),
        ("SELECT 1 AS database WHERE false", 4, "lists no tenant"),
        ("SELECT NULL AS database", 4, "gives no database in row 1"),
        ("VALUES ('a', 'b')", 4, "'column2' that says nothing"),
        ("SELECT 'a' AS name", 4, "says nothing of where"),
        ("SELECT 'a' AS name, 'x' AS databse", 4, "'databse' that says nothing"),
        (
            "SELECT 'a' AS name, d AS database FROM unnest('{x,y}'::text[]) AS d",
            4,
            "lists the name 'a' twice",
        ),
        (
            "SELECT n AS name, 'x' AS database FROM unnest('{a,b}'::text[]) AS n",
            4,
            "one place several names: 'a', 'b'",
        ),
        ("SELECT 'a' AS name, 'b' AS name, 'x' AS schema", 4, "the column 'name'"),
        ("SELECT 'a' AS name, 'postgresql://u:p@h/x' AS host", 4, "not the name of a"),
        ("SELEC", 4, "syntax error"),
        ("SELECT 'a' AS database; SELECT 1", 4, "cannot insert multiple commands"),
        ("CREATE TABLE x (n int)", 4, "read-only"),
        (
            "WITH x AS (DELETE FROM pg_shdescription RETURNING 1) TABLE x",
            4,
            "read-only",
        ),
        ("SET search_path = x", 4, "returns no columns"),
        ("SELECT pg_sleep(60)::text AS database", 5, ""),
        ("SELECT passwd AS database FROM pg_authid_missing", 4, "does not exist"),
    ],
)
def test_a_query_that_makes_no_fleet_is_told_in_a_sentence(
    dbops: RunDbops, served: Served, query: str, code: int, says: str
) -> None:
    env = {**served.environment, "DBOPS_STATEMENT_TIMEOUT": "500ms"}
    ran = dbops("ping", "--targets-sql", query, "--format", "json", env=env)
    assert ran.code == code, ran.out + ran.err
    assert says in ran.json["error"]["message"]
    assert "Traceback" not in ran.err
    assert "u:p@" not in ran.out


def test_a_fleet_of_one_is_a_list_too(dbops: RunDbops, served: Served) -> None:
    query = "SELECT current_database() AS database"
    env = {**served.environment, "DBOPS_TARGETS_SQL": query}
    ran = dbops("ping", "--writer", "--format", "json", env=env)
    assert ran.code == 0
    assert [it["target"] for it in ran.json["targets"]] == [served.name]
    named = dbops(
        *("ping", "--writer", "--format", "json", "--targets-sql"),
        "SELECT 'shop' AS name, current_database() AS database",
        env=served.environment,
    )
    assert [it["target"] for it in named.json["targets"]] == ["shop"]


def test_commands_without_targets_take_no_notice_of_the_query(
    dbops: RunDbops, tmp_path: Path
) -> None:
    (tmp_path / "dbops.toml").write_text("targets_sql = 'SELECT 1'\n")
    assert dbops("init").code == 0


def test_one_target_is_asked_for_its_tenants(
    dbops: RunDbops, six: list[str], env: dict[str, str]
) -> None:
    query = ("--targets-sql", "SELECT 1 AS database")
    ran = dbops("ping", "-t", "*", *query, "--format", "json", env=env)
    assert ran.code == 2
    assert "asks one target" in ran.json["error"]["message"]


def test_tenants_reader_is_the_one_of_the_target(
    dbops: RunDbops, served: Served
) -> None:
    postgres = served.writer.with_database("postgres").url(show_password=True)
    reader = served.reader.with_database("postgres").url(show_password=True)
    env = {"DATABASE_URL": postgres, "DATABASE_READER_URL": reader}
    query = f"SELECT '{served.name}' AS database"
    ran = dbops("ping", "--targets-sql", query, "--format", "json", env=env)
    assert ran.code == 0
    (target,) = ran.json["targets"]
    roles = [it["role"] for it in target["result"]["endpoints"]]
    assert roles == ["writer", "reader"]
    host = served.writer.addresses[0]
    query += f", '{host}' AS host"
    ran = dbops("ping", "--targets-sql", query, "--format", "json", env=env)
    (target,) = ran.json["targets"]
    (endpoint,) = target["result"]["endpoints"]
    assert endpoint["port"] == host.port
