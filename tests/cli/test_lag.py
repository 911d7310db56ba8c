"""`dbops lag` as scripts and monitoring see it: exit code, stdout, stderr."""

import pytest

from tests.conftest import RunDbops, Served

GONE = "postgresql://nobody@127.0.0.1:1/nothing"


def test_a_healthy_reader_is_zero_in_every_form(
    dbops: RunDbops, served: Served
) -> None:
    ran = dbops("lag", "--format", "json", env=served.environment)
    assert ran.code == 0, ran.err
    result = ran.json["result"]
    assert (result["freshness"], result["pipeline"]) == ("fresh", "streaming")
    assert result["lag_low_s"] == 0 < result["lag_high_s"]
    assert result["thresholds"]["fail_s"] == 30
    plugin = dbops("lag", "--format", "nagios", env=served.environment)
    assert plugin.code == 0, plugin.out
    assert plugin.out.startswith("LAG OK: the reader 127.0.0.1:")
    assert "lag_low=0s;5;30 lag_high=0." in plugin.out


def test_a_reader_without_a_writer_is_never_plainly_ok(
    dbops: RunDbops, served: Served
) -> None:
    env = {"DATABASE_READER_URL": served.environment["DATABASE_READER_URL"]}
    ran = dbops("lag", "--format", "json", env=env)
    assert (ran.code, ran.json["status"]) == (0, "warn")
    assert ran.json["result"]["freshness"] == "as_upstream"
    assert ran.json["result"]["lag_low_s"] is None
    assert ran.json["result"]["writer"] is None
    measured = dbops("lag", "--format", "prometheus", env=env)
    assert "dbops_lag_low_seconds" not in measured.out
    assert "dbops_lag_high_seconds" not in measured.out


def test_a_writer_that_does_not_answer_is_five_with_what_the_reader_says(
    dbops: RunDbops, served: Served
) -> None:
    ran = dbops(
        "lag", "--format", "json", env={**served.environment, "DATABASE_URL": GONE}
    )
    assert (ran.code, ran.json["status"]) == (5, "unknown")
    assert ran.json["error"]["type"] == "UnreachableError"
    assert ran.json["result"]["cause"] == "writer_unreachable"
    assert ran.json["result"]["lag_low_s"] is None


def test_a_standby_given_as_the_writer_is_six(dbops: RunDbops, served: Served) -> None:
    reader = served.environment["DATABASE_READER_URL"]
    env = {**served.environment, "DATABASE_URL": reader}
    ran = dbops("lag", "--format", "json", env=env)
    assert (ran.code, ran.json["status"]) == (6, "fail")
    assert ran.json["result"]["cause"] == "writer_is_standby"
    assert "is given as the writer" in ran.json["error"]["message"]
    assert dbops("lag", "--format", "nagios", env=env).code == 2


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--fail", "80%"), "5s, 16MB"),
        (("--warn", "5"), "5s, 16MB"),
        (("--warn", "5s", "--warn", "6s"), "5s, 16MB"),
        (("--warn", "64MB", "--fail", "1MB"), "let it warn before it fails"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_two(
    dbops: RunDbops, served: Served, words: tuple[str, ...], hint: str
) -> None:
    ran = dbops("lag", *words, env=served.environment)
    assert ran.code == 2
    assert ran.out == ""
    assert hint in ran.err


def test_each_names_every_reader_that_was_asked(
    dbops: RunDbops, served: Served
) -> None:
    address = served.reader.addresses[0]
    both = served.environment["DATABASE_READER_URL"].replace(
        str(address), f"{address},127.0.0.1:1"
    )
    ran = dbops(
        *("lag", "--each", "--format", "json"),
        env={**served.environment, "DATABASE_READER_URL": both},
    )
    assert (ran.code, ran.json["status"]) == (5, "unknown")
    assert [it["status"] for it in ran.json["result"]["readers"]] == ["ok", "unknown"]
