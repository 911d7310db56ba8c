"""`dbops pool`, as a look and as a gate: exit code, stdout, stderr."""

import pytest

from dbops.engine.connect import connect
from tests.conftest import RunDbops, Served, new_name

SECRET = "s3cr3t"
NOWHERE = f"postgresql://u:{SECRET}@127.0.0.1:1"
GATE = ("pool", "--replicas", "20", "--surge", "25%", "--workers", "4", "--jobs", "3")


def test_a_look_is_zero_and_keeps_its_fields(dbops: RunDbops, served: Served) -> None:
    ran = dbops("pool", "--format", "json", env=served.environment)
    assert (ran.code, ran.err) == (0, "")
    result = ran.json["result"]
    assert [it["role"] for it in result["engines"]] == ["writer", "reader"]
    assert {"pool_size", "max_overflow"} <= result["engines"][0].keys()
    for role in ("server", "reader"):
        assert {
            "max_connections", "reserved", "usable", "in_use", "by_application",
        } <= result[role].keys()  # fmt: skip
    budget = result["budget"]
    assert sum(it["connections"] for it in budget["terms"]) == budget["demand"] == 15
    assert budget["fits"] is True
    assert budget["max_replicas"] == result["server"]["usable"] // 15


def test_a_gate_is_one_and_shows_its_equation(dbops: RunDbops, served: Served) -> None:
    ran = dbops(*GATE, env=served.environment)
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.startswith("fail\n")
    assert "the pools do not fit: the writer would get 1554 of " in ran.out
    assert "ceil(20 * 1.25) * 4 * (5 + 10) + 3 * (5 + 10) + 2 + 2 + 5 = 1554" in ran.out
    as_json = dbops(*GATE, "--format", "json", env=served.environment)
    budget = as_json.json["result"]["budget"]
    assert (as_json.code, budget["fits"]) == (1, False)
    assert budget["demand"] == sum(it["connections"] for it in budget["terms"])
    pooled = dbops(*GATE, "--pgbouncer", "2x20", env=served.environment)
    assert pooled.code == 0


def test_what_has_no_limit_fails_as_a_gate(dbops: RunDbops, served: Served) -> None:
    words = ("pool", "--max-overflow", "-1", "--format", "json")
    look = dbops(*words, env=served.environment)
    assert (look.code, look.json["status"]) == (0, "warn")
    assert dbops(*words, "--fail-on", "warn", env=served.environment).code == 1
    gate = dbops(*words, "--replicas", "1", env=served.environment)
    assert gate.code == 1
    assert gate.json["result"]["budget"]["max_replicas"] is None
    assert "max_overflow=-1" in gate.json["result"]["budget"]["reason"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--replicas", "0"), "--replicas"),
        (("--surge", "abc"), "--surge"),
        (("--surge", "5s", "--replicas", "2"), "--surge 5s"),
        (("--pgbouncer", SECRET), "--pgbouncer"),
        (("--pgbouncer", f"http://u:{SECRET}@h/pgbouncer"), "--pgbouncer"),
        (("--warn", "5s"), "--warn 5s"),
        (("--warn", "90%", "--fail", "80%"), "--warn 90%"),
    ],
)
def test_what_makes_no_sense_is_two(
    dbops: RunDbops, served: Served, words: tuple[str, ...], says: str
) -> None:
    ran = dbops("pool", *words, env=served.environment)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {says}")
    assert "hint: " in ran.err
    assert SECRET not in ran.err


def test_a_malformed_setting_is_four_and_not_shown(
    dbops: RunDbops, served: Served
) -> None:
    env = {**served.environment, "DBOPS_PGBOUNCER": f"mysql://u:{SECRET}@h/pgbouncer"}
    ran = dbops("pool", env=env)
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("error: DBOPS_PGBOUNCER from environment")
    assert SECRET not in ran.err


def test_a_password_on_the_command_line_is_warned_of_and_never_shown(
    dbops: RunDbops, served: Served
) -> None:
    words = ("pool", "--format", "json", "--replicas", "1", "--pgbouncer")
    ran = dbops(*words, f"{NOWHERE}/pgbouncer", env=served.environment)
    assert ran.code == 5
    assert ran.json["error"]["message"] == "nothing listens on 127.0.0.1:1"
    assert "DBOPS_PGBOUNCER or DB_PASSWORD" in ran.err
    assert SECRET not in ran.out + ran.err
    # The servers have answered all the same.
    assert ran.json["status"] == "unknown"
    assert ran.json["result"]["server"]["in_use"] >= 1
    assert ran.json["result"]["budget"]["fits"] is False
    quiet = dbops(
        *words[:-1],
        env={**served.environment, "DBOPS_PGBOUNCER": f"{NOWHERE}/pgbouncer"},
    )
    assert (quiet.code, quiet.err) == (5, "")


def test_a_silent_reader_is_five_and_a_silent_writer_has_no_answer(
    dbops: RunDbops, served: Served
) -> None:
    env = {**served.environment, "DATABASE_READER_URL": f"{NOWHERE}/x"}
    ran = dbops("pool", "--format", "json", env=env)
    assert (ran.code, ran.json["status"]) == (5, "unknown")
    assert ran.json["result"]["reader"] is None
    assert ran.json["result"]["server"]["in_use"] >= 1
    env = {**served.environment, "DATABASE_URL": f"{NOWHERE}/x"}
    ran = dbops("pool", "--format", "json", env=env)
    assert (ran.code, ran.json["result"]) == (5, None)


def test_a_missing_database_is_six(dbops: RunDbops, served: Served) -> None:
    url = served.writer.with_database("not_there").url(show_password=True)
    ran = dbops("pool", env={**served.environment, "DATABASE_URL": url})
    assert (ran.code, ran.out) == (6, "")
    assert "'not_there' does not exist" in ran.err


async def test_a_role_that_may_see_nothing_is_told_the_grant(
    dbops: RunDbops, served: Served
) -> None:
    role = new_name("plain")
    admin = await connect(served.writer)
    held = [await connect(served.writer, application_name="held") for _ in range(3)]
    await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'plain'")
    place = served.writer.addresses[0]
    url = f"postgresql://{role}:plain@{place}/{served.name}?sslmode=disable"
    ran = dbops("pool", "--format", "json", env={"DATABASE_URL": url})
    assert ran.code == 0
    server = ran.json["result"]["server"]
    assert server["in_use"] >= 5
    assert {"application": "held", "state": "unknown", "connections": 3} in (
        server["by_application"]
    )
    assert server["requires"] == f"GRANT pg_read_all_stats TO {role}"
    human = dbops("pool", env={"DATABASE_URL": url})
    assert f"GRANT pg_read_all_stats TO {role}" in human.out
    await admin.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
    full = dbops("pool", env={"DATABASE_URL": url})
    assert (full.code, full.out) == (5, "")
    assert "takes no more connections" in full.err
    await admin.execute(f"DROP ROLE {role}")
    for connection in (*held, admin):
        await connection.close()
