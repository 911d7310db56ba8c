"""`dbops history`: exit code, stdout, stderr."""

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from dbops.engine.connect import connect
from tests.conftest import RunDbops, Served

NOWHERE = "postgresql://u:p@127.0.0.1:1/x"


@pytest.fixture
def project(tmp_path: Path, dbops: RunDbops) -> Path:
    """A project of two revisions."""
    assert dbops("init").code == 0
    for name, down, statement in (
        ("a1", None, "CREATE TABLE a (n int)"),
        ("b2", "a1", "CREATE TABLE b (n int)"),
    ):
        (tmp_path / "migrations" / "versions" / f"{name}.py").write_text(
            f'"""do {name} \\x1b[31min red"""\n'
            f"from alembic import op\nrevision, down_revision = {name!r}, {down!r}\n"
            f"def upgrade():\n    op.execute({statement!r})\n"
            f"def downgrade():\n    pass\n"
        )
    return tmp_path


def test_the_history_is_newest_first_with_units_and_time_zone(
    dbops: RunDbops, served: Served, project: Path
) -> None:
    migrated = dbops("migrate", "--journal", env=served.environment)
    assert migrated.code == 0, migrated.err
    ran = dbops("history", "--format", "json", env=served.environment)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["result"]["state"] == "present"
    newest, first = ran.json["result"]["entries"]
    assert (newest["revision"], newest["before"], newest["after"]) == (
        "b2",
        ["a1"],
        ["b2"],
    )
    assert first["before"] == []
    assert datetime.fromisoformat(newest["started_at"]).tzinfo is not None
    assert newest["duration_ms"] > 0
    assert newest["actor"]
    one = dbops("history", "--last", "1", "--format", "json", env=served.environment)
    assert [e["revision"] for e in one.json["result"]["entries"]] == ["b2"]


def test_hostile_text_in_the_journal_does_not_reach_the_terminal(
    dbops: RunDbops, served: Served, project: Path
) -> None:
    env = {**served.environment, "DBOPS_JOURNAL": "true"}
    assert dbops("migrate", env=env).code == 0
    ran = dbops("history", env=served.environment)
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert "\\x1b[31min red" in ran.out
    assert "+00:00" in ran.out


def test_going_back_and_forth_is_in_the_history(
    dbops: RunDbops, served: Served, project: Path
) -> None:
    dbops("migrate", "--journal", env=served.environment)
    back = dbops("rollback", "--yes", "--journal", env=served.environment)
    assert back.code == 0, back.err
    ran = dbops("history", "--format", "json", env=served.environment)
    steps = [
        (e["direction"], e["revision"], e["before"], e["after"])
        for e in ran.json["result"]["entries"]
    ]
    assert steps == [
        ("downgrade", "b2", ["b2"], ["a1"]),
        ("upgrade", "b2", ["a1"], ["b2"]),
        ("upgrade", "a1", [], ["a1"]),
    ]


def test_a_role_that_may_not_keep_it_is_refused_before_anything_is_applied(
    dbops: RunDbops, served: Served, project: Path
) -> None:
    ran = dbops("migrate", "--journal", env=limited(served))
    assert ran.code == 6
    assert "may not create the journal" in ran.err
    assert "hint: GRANT CREATE ON DATABASE" in ran.err
    assert dbops("status", env=served.environment).code == 3


def limited(served: Served) -> dict[str, str]:
    """The environment of a role that owns a schema of its own, and nothing else."""

    async def make() -> None:
        connection = await connect(served.writer)
        try:
            await connection.execute(
                f"CREATE ROLE \"{served.name}\" LOGIN PASSWORD 'pw';"
                f'CREATE SCHEMA own AUTHORIZATION "{served.name}";'
                f'ALTER ROLE "{served.name}" SET search_path = own'
            )
        finally:
            await connection.close()

    asyncio.run(make())
    place = served.writer.addresses[0]
    url = f"postgresql://{served.name}:pw@{place}/{served.name}?sslmode=disable"
    return {"DATABASE_URL": url}


def test_no_journal_is_said_and_the_revisions_are_shown_with_nulls(
    dbops: RunDbops, served: Served, project: Path
) -> None:
    dbops("migrate", env=served.environment)
    ran = dbops("history", "--format", "json", env=served.environment)
    assert ran.code == 0
    assert ran.json["status"] == "warn"
    assert ran.json["result"]["state"] == "absent"
    entries = ran.json["result"]["entries"]
    assert [e["revision"] for e in entries] == ["b2", "a1"]
    assert {e["started_at"] for e in entries} == {None}
    assert {e["actor"] for e in entries} == {None}


def test_an_empty_database_without_a_journal_warns(
    dbops: RunDbops, served: Served
) -> None:
    ran = dbops("history", env=served.environment)
    assert ran.code == 0
    assert ran.out.startswith("warn\n")
    assert "absent" in ran.out
    assert "--journal" in ran.out
    assert "note: only the journal is asked: there is no alembic.ini" in ran.err


def test_a_project_that_was_named_and_is_missing_is_four(
    dbops: RunDbops, served: Served
) -> None:
    ran = dbops("history", "-c", "nowhere.ini", env=served.environment)
    assert ran.code == 4
    assert "nowhere.ini does not exist" in ran.err


def test_an_unreachable_server_is_five(dbops: RunDbops, project: Path) -> None:
    ran = dbops("history", "--format", "json", env={"DATABASE_URL": NOWHERE})
    assert ran.code == 5
    assert ran.json["error"]["type"] == "UnreachableError"


def test_less_than_one_step_makes_no_sense(dbops: RunDbops, served: Served) -> None:
    assert dbops("history", "--last", "0", env=served.environment).code == 2


def test_its_example_is_in_its_help(dbops: RunDbops) -> None:
    assert "Example: dbops history --last 10" in " ".join(
        dbops("history", "--help").out.split()
    )
