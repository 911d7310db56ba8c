"""migrate --sql and --dry-run: exit code, stdout, stderr."""

from pathlib import Path

import pytest

from dbops.operations.init import init
from tests.conftest import RunDbops, Served
from tests.rich_revisions import write_revision

SECRET = "s3cr3t-sentinel"
NOBODY = {"DATABASE_URL": f"postgresql://u:{SECRET}@127.0.0.1:1/x"}

THREE = """\
BEGIN;

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> a1

CREATE TABLE é (n int);

INSERT INTO alembic_version (version_num) VALUES ('a1')\
 RETURNING alembic_version.version_num;

COMMIT;

BEGIN;

-- Running upgrade a1 -> b2

CREATE TABLE b (n int);

UPDATE alembic_version SET version_num='b2' WHERE alembic_version.version_num = 'a1';

COMMIT;

"""  # noqa: W291 # as SQLAlchemy writes it


@pytest.fixture
async def project(tmp_path: Path) -> Path:
    """A project as `dbops init` makes it, with two revisions and a talkative env.py."""
    await init(tmp_path)
    env = tmp_path / "migrations" / "env.py"
    env.write_text("print('env.py was here')\n" + env.read_text())
    write_revision(tmp_path, "a1", None, "op.execute('CREATE TABLE é (n int)')")
    write_revision(tmp_path, "b2", "a1", "op.execute('CREATE TABLE b (n int)')")
    return tmp_path


@pytest.mark.parametrize("env", [{}, NOBODY, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_a_range_is_sql_on_stdout_and_needs_no_server(
    dbops: RunDbops, project: Path, env: dict[str, str]
) -> None:
    ran = dbops("migrate", "--sql", "base:head", env=env)
    assert (ran.code, ran.out) == (0, THREE)
    assert ran.err == "env.py was here\n"


def test_without_any_database_it_is_the_whole_history_and_stderr_says_so(
    dbops: RunDbops, project: Path
) -> None:
    ran = dbops("migrate", "--sql")
    assert (ran.code, ran.out) == (0, THREE)
    assert "the whole history" in ran.err


def test_with_a_database_it_is_what_is_pending_there(
    dbops: RunDbops, project: Path, served: Served
) -> None:
    assert dbops("migrate", "a1", env=served.environment).code == 0
    ran = dbops("migrate", "--sql", env=served.environment)
    assert ran.code == 0
    assert ran.out == THREE[THREE.rindex("BEGIN") :]
    assert dbops("migrate", env=served.environment).code == 0
    ran = dbops("migrate", "--sql", "-q", env=served.environment)
    assert (ran.code, ran.out) == (0, "")
    assert "nothing is pending" in dbops("migrate", "--sql", env=served.environment).err


def test_json_is_one_document_with_the_revisions_and_the_script(
    dbops: RunDbops, project: Path
) -> None:
    ran = dbops("migrate", "--sql", "base:head", "--format", "json")
    assert ran.code == 0
    result = ran.json["result"]
    assert result["sql"] == THREE
    assert [it["revision"] for it in result["revisions"]] == ["a1", "b2"]
    assert result["revisions"][1] == {
        "revision": "b2",
        "message": "do b2",
        "path": str(project / "migrations" / "versions" / "b2.py"),
        "sql": "CREATE TABLE b (n int);",
        "transactional": True,
        "problem": None,
    }


def test_an_incomplete_script_is_printed_marked_named_and_exits_1(
    dbops: RunDbops, project: Path
) -> None:
    body = "op.get_bind().exec_driver_sql('SELECT 1').scalar()"
    write_revision(project, "c3", "b2", body)
    write_revision(project, "d4", "c3", "op.execute('CREATE TABLE d (n int)')")
    ran = dbops("migrate", "--sql", "base:head")
    assert ran.code == 1
    assert ran.out.startswith(THREE)
    assert "\n-- dbops: SQL of revision c3 is missing here: it needs the" in ran.out
    assert "CREATE TABLE d (n int);" in ran.out
    assert "error: the SQL is incomplete" in ran.err
    assert "c3 (" in ran.err
    assert "d4" not in ran.err
    assert "hint: dbops migrate --rehearse" in ran.err
    document = dbops("migrate", "--sql", "base:head", "--format", "json")
    assert document.code == document.json["exit_code"] == 1
    assert document.json["error"]["type"] == "FailedError"
    problems = [it["problem"] for it in document.json["result"]["revisions"]]
    assert [problem is None for problem in problems] == [True, True, False, True]
    assert document.json["result"]["sql"] == ran.out


def test_an_unreachable_server_is_5_and_the_hint_is_a_range(
    dbops: RunDbops, project: Path
) -> None:
    ran = dbops("migrate", "--sql", env=NOBODY)
    assert (ran.code, ran.out) == (5, "")
    assert "hint: give a range FROM:TO, such as base:head" in ran.err
    assert SECRET not in ran.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--sql", "base:b2:a1"), 2),
        (("--sql", "b2:a1"), 2),
        (("base:head",), 2),
        (("--dry-run", "base:head"), 2),
        (("--sql", "base:zz"), 2),
        (("--sql", "zz:head"), 2),
    ],
)
def test_bad_ranges_end_in_one_sentence_and_a_hint(
    dbops: RunDbops, project: Path, words: tuple[str, ...], code: int
) -> None:
    ran = dbops("migrate", *words, env=NOBODY)
    assert (ran.code, ran.out) == (code, "")
    assert "error: " in ran.err
    assert "hint: " in ran.err
    assert "Traceback" not in ran.err


def test_a_password_in_the_projects_own_url_is_never_shown(
    dbops: RunDbops, project: Path
) -> None:
    url = f"sqlalchemy.url = postgresql://u:{SECRET}@127.0.0.1:1/x"
    ini = project / "alembic.ini"
    ini.write_text(ini.read_text() + f"\n[own]\nscript_location = migrations\n{url}\n")
    (project / "migrations" / "env.py").write_text(
        "from alembic import context\n"
        "context.configure(url=context.config.get_main_option('sqlalchemy.url'))\n"
        "context.run_migrations()\n"
    )
    ran = dbops("migrate", "-n", "own", "--sql", "base:head")
    assert (ran.code, ran.out) == (0, THREE)
    assert SECRET not in ran.err


def test_the_plan_lists_what_is_pending_and_is_healthy(
    dbops: RunDbops, project: Path, served: Served
) -> None:
    dbops("migrate", "a1", env=served.environment)
    ran = dbops("migrate", "--dry-run", "--format", "json", env=served.environment)
    assert ran.code == 0
    assert ran.json["result"]["before"] == ["a1"]
    (planned,) = ran.json["result"]["planned"]
    assert planned["revision"] == "b2"
    assert planned["message"] == "do b2"
    assert planned["transactional"] is True
    human = dbops("migrate", "--dry-run", env=served.environment)
    assert human.code == 0
    assert "b2" in human.out
    assert dbops("status", env=served.environment).code == 3


def test_the_plan_of_an_unreachable_server_is_5(dbops: RunDbops, project: Path) -> None:
    ran = dbops("migrate", "--dry-run", env=NOBODY)
    assert (ran.code, ran.out) == (5, "")


def test_a_database_ahead_of_the_code_is_refused_by_both(
    dbops: RunDbops, project: Path, served: Served
) -> None:
    dbops("migrate", env=served.environment)
    (project / "migrations" / "versions" / "b2.py").unlink()
    for word in ("--dry-run", "--sql"):
        ran = dbops("migrate", word, env=served.environment)
        assert (ran.code, ran.out) == (6, "")
        assert "ahead of this code" in ran.err


def test_two_ways_to_look_first_are_one_too_many(dbops: RunDbops) -> None:
    ran = dbops("migrate", "--sql", "--dry-run")
    assert ran.code == 2
    assert "one of --sql, --dry-run and --rehearse" in ran.err
