"""check and revision as their users run them: exit code, stdout, stderr."""

import sys
from pathlib import Path

import pytest

from tests.conftest import RunDbops, Served
from tests.server.shop import Shop, new_shop

NOWHERE = {"DATABASE_URL": "postgresql://u:s3cr3t-sentinel@127.0.0.1:1/x"}


@pytest.fixture
async def shop(served: Served, tmp_path: Path) -> Shop:
    return await new_shop(served, tmp_path)


def follow(shop: Shop, name: str, down: str) -> None:
    (shop.folder / "migrations" / "versions" / f"{name}.py").write_text(
        f"revision, down_revision = {name!r}, {down!r}\ndef upgrade(): pass\n"
    )


def test_a_sound_database_is_zero(dbops: RunDbops, shop: Shop) -> None:
    ran = dbops("check", "--format", "json", env=shop.served.environment)
    assert ran.code == 0, ran.err
    assert ran.err == ""
    assert ran.json["status"] == "ok"
    result = ran.json["result"]
    assert result["heads"] == result["current"] == ["a1"]
    assert result["state"] == "at_head"
    assert result["differences"] == result["invalid_indexes"] == []
    assert dbops("check", env=shop.served.environment).out.startswith("ok\n")


async def test_a_difference_is_three_until_it_is_accepted(
    dbops: RunDbops, shop: Shop
) -> None:
    await shop.run("ALTER TABLE article ALTER price TYPE numeric")
    env = shop.served.environment
    ran = dbops("check", "--format", "json", env=env)
    assert (ran.code, ran.json["exit_code"]) == (3, 3)
    (found,) = ran.json["result"]["differences"]
    assert set(found) == {"kind", "object", "message", "key", "accepted"}
    human = dbops("check", env=env)
    assert human.code == 3
    assert "column public.article.price is numeric in the database" in human.out
    words = ("check", "--baseline", "drift.json")
    assert dbops(*words, env=env).code == 4
    assert dbops(*words, "--accept", env=env).code == 0
    assert dbops(*words, env=env).code == 0
    assert dbops("check", "--no-drift", env=env).code == 0


async def test_pending_is_three_and_ahead_is_six(dbops: RunDbops, shop: Shop) -> None:
    env = shop.served.environment
    follow(shop, "b2", "a1")
    behind = dbops("check", "--format", "json", env=env)
    assert behind.code == 3
    assert behind.json["result"]["state"] == "behind"
    await shop.run("UPDATE alembic_version SET version_num = 'gone'")
    ahead = dbops("check", "--format", "json", env=env)
    assert ahead.code == 6
    assert ahead.json["result"]["state"] == "ahead"


async def test_a_constraint_that_was_never_proved_is_one(
    dbops: RunDbops, shop: Shop
) -> None:
    await shop.run("ALTER TABLE shelf ADD CONSTRAINT few CHECK (id < 9) NOT VALID")
    ran = dbops("check", "--format", "json", env=shop.served.environment)
    assert ran.code == 1
    assert ran.err == ""
    assert ran.json["result"]["not_valid_constraints"] == [
        {
            "name": "few",
            "table": "public.shelf",
            "remedy": "ALTER TABLE public.shelf VALIDATE CONSTRAINT few",
        }
    ]


def test_without_models_it_is_one_and_says_what_would_help(
    dbops: RunDbops, shop: Shop
) -> None:
    shop.model("", target="None")
    ran = dbops("check", env=shop.served.environment)
    assert ran.code == 1
    assert ran.out.startswith("unknown\n")
    assert "target_metadata" in ran.out


def test_the_heads_are_checked_without_any_database(
    dbops: RunDbops, shop: Shop
) -> None:
    assert dbops("check", "--heads").code == 0
    follow(shop, "b2", "a1")
    follow(shop, "b3", "a1")
    ran = dbops("check", "--heads", "--format", "json", env=NOWHERE)
    assert ran.code == 6
    assert ran.json["result"]["heads"] == ["b2", "b3"]
    assert ran.json["result"]["fork_points"] == ["a1"]
    assert "alembic merge" in ran.json["result"]["merge"]
    human = dbops("check", "--heads")
    assert human.code == 6
    assert "fork at a1" in human.out


def test_an_unreachable_server_is_five(dbops: RunDbops, shop: Shop) -> None:
    for words in (("check",), ("revision", "-m", "x", "--autogenerate")):
        ran = dbops(*words, "--format", "json", env=NOWHERE)
        assert ran.code == 5
        assert ran.json["error"]["type"] == "UnreachableError"
        assert "s3cr3t" not in ran.out + ran.err


@pytest.mark.parametrize(
    "words",
    [
        ("check", "--accept"),
        ("check", "--heads", "--accept"),
        ("check", "--heads", "--no-drift"),
        ("revision",),
        ("revision", "-m", "x", "--head", "no_such"),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_two(
    dbops: RunDbops, shop: Shop, words: tuple[str, ...]
) -> None:
    ran = dbops(*words, env=shop.served.environment)
    assert ran.code == 2
    assert ran.out == ""
    assert "Traceback" not in ran.err


async def test_revision_writes_a_file_and_says_which(
    dbops: RunDbops, shop: Shop
) -> None:
    env = shop.served.environment
    same = dbops("revision", "-m", "nothing", "--autogenerate", env=env)
    assert same.code == 0
    assert "nothing was written" in same.out
    await shop.run("DROP INDEX ix_price")
    words = ("revision", "-m", "index price", "--autogenerate", "--format", "json")
    ran = dbops(*words, env=env)
    assert ran.code == 0, ran.err
    (written,) = ran.json["result"]["written"]
    assert written["down"] == ["a1"]
    assert written["path"].endswith("_index_price.py")
    again = dbops(*words, env=env)
    assert again.code == 3
    assert "dbops migrate" in again.json["error"]["hint"]


def test_what_a_formatter_says_is_not_on_stdout(dbops: RunDbops, shop: Shop) -> None:
    ini = shop.folder / "alembic.ini"
    ini.write_text(
        f"{ini.read_text()}\n[post_write_hooks]\nhooks = x\nx.type = exec\n"
        f"x.executable = {sys.executable}\nx.options = -c "
        "'print(\"reformatted\")' REVISION_SCRIPT_FILENAME\n"
    )
    ran = dbops("revision", "-m", "x", "--format", "json", env=shop.served.environment)
    assert ran.code == 0, ran.err
    assert "reformatted" in ran.err
    assert len(ran.json["result"]["written"]) == 1
