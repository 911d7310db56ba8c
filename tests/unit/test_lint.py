"""Statements in, findings out: reading, silence, weight, squawk, annotations."""

from pathlib import Path

import pytest

from dbops.cli.github import annotations
from dbops.errors import FailedError, Outcome, UsageError
from dbops.operations.lint.finding import Finding, Source
from dbops.operations.lint.judge import judge
from dbops.operations.lint.known import Known
from dbops.operations.lint.lint import Linted, lint
from dbops.operations.lint.names import Name
from dbops.operations.lint.rules import RULES
from dbops.operations.lint.sources import of_file, of_text
from dbops.operations.lint.squawk import installed, squawk
from dbops.operations.lint.squawk_rules import OURS
from dbops.operations.lint.statements import split
from dbops.operations.lint.table import Table
from dbops.operations.lint.weight import BIG_BYTES, BIG_ROWS, SMALL_BYTES, SMALL_ROWS
from dbops.results import Problem
from tests.lint_catalogue import CATALOGUE

DROP = "DROP TABLE users"
LONG = "a" * 64


def judged(
    sql: str, known: Known | None = None, python: str | None = None
) -> list[Finding]:
    return judge([Source(sql=sql, python=python, transactional=True)], known)


def names(found: list[Finding]) -> list[str]:
    return [finding.rule for finding in found]


@pytest.mark.parametrize(
    ("sql", "texts"),
    [
        ("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';'; SELECT 'it''s; ok'", ["SELECT ';'", "SELECT 'it''s; ok'"]),
        (r"SELECT E'\'; '; SELECT 1", [r"SELECT E'\'; '", "SELECT 1"]),
        (r"SELECT '\'; SELECT 1", [r"SELECT '\'", "SELECT 1"]),
        ('SELECT "a;""b"; SELECT 1', ['SELECT "a;""b"', "SELECT 1"]),
        (
            "SELECT $$;$$, $a$ $$ ; $a$; SELECT a$b",
            ["SELECT $$;$$, $a$ $$ ; $a$", "SELECT a$b"],
        ),
        ("SELECT 1 -- ; no\n; /* ; /* ; */ ; */ SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1 - -1; SELECT $1 || $2", ["SELECT 1 - -1", "SELECT $1 || $2"]),
        ("\\connect shop\nSELECT 1", ["SELECT 1"]),
        (
            "COPY t FROM STDIN;\n1;\tx'\n\\.\nSELECT 1;",
            ["COPY t FROM STDIN", "SELECT 1"],
        ),
        (
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
            ["CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", "SELECT 3"],
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; SELECT 2",
            ["CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END", "SELECT 2"],
        ),
        ("", []),
        (" ;; \n", []),
    ],
)
def test_statements_end_where_the_server_ends_them(sql: str, texts: list[str]) -> None:
    assert [statement.text for statement in split(sql)] == texts


def test_a_finding_says_on_which_line_its_statement_begins() -> None:
    found = judged(f"SELECT 1;\n\n-- a comment\n/* and\nanother */ {DROP};\n")
    assert [(it.rule, it.line, it.path_line) for it in found] == [("drop-table", 5, 5)]
    (inner,) = judged(f"DO $$\nBEGIN\n  {DROP};\nEND $$")
    assert inner.line == 3


@pytest.mark.parametrize(
    "sql",
    [
        f"-- dbops:ignore drop-table nobody has read it since May\n{DROP}",
        f"{DROP}; -- dbops:ignore drop-table: nobody reads it",
        f"/* dbops:ignore drop-table,truncate nobody reads it */ {DROP}",
        f"-- dbops:ignore ban-drop-table nobody reads it\n{DROP}",
        f"-- dbops:ignore drop-table nobody reads it\nDO $$ BEGIN {DROP}; END $$",
        f"DO $$ BEGIN\n-- dbops:ignore drop-table nobody reads it\n{DROP}; END $$",
    ],
)
def test_a_comment_with_a_reason_silences_its_rule(sql: str) -> None:
    assert judged(sql) == []


def test_a_comment_silences_its_own_statement_and_no_other_rule() -> None:
    found = judged(f"-- dbops:ignore drop-table not needed\n{DROP};\n{DROP}")
    assert [(it.rule, it.line) for it in found] == [("drop-table", 3)]
    assert names(judged(f"-- dbops:ignore truncate why not\n{DROP}")) == ["drop-table"]


@pytest.mark.parametrize("reason", ["", " ", " -", " :"])
def test_a_comment_without_a_reason_silences_nothing_and_is_a_finding(
    reason: str,
) -> None:
    found = judged(f"SELECT 1;\n-- dbops:ignore drop-table{reason}\n{DROP}")
    assert [(it.rule, it.line, it.severity) for it in found] == [
        ("ignore-without-reason", 2, "fail"),
        ("drop-table", 3, "fail"),
    ]


@pytest.mark.parametrize("rule", ["drop-tabel", "", ", "])
def test_a_comment_that_names_no_rule_is_a_finding(rule: str) -> None:
    found = judged(f"-- dbops:ignore {rule}\n{DROP}")
    assert names(found) == ["ignore-of-no-rule", "drop-table"]


def test_a_comment_in_a_revision_silences_its_rule_in_all_of_it() -> None:
    python = "def upgrade():\n    # dbops:ignore drop-table unused\n    pass\n"
    assert judged(f"{DROP};{DROP}", python=python) == []
    quoted = 'x = "# dbops:ignore drop-table unused"\n'
    assert names(judged(DROP, python=quoted)) == ["drop-table"]
    bare = judged(DROP, python="# dbops:ignore drop-table\n")
    assert names(bare) == ["ignore-without-reason", "drop-table"]


def test_a_revisions_finding_points_at_the_line_that_wrote_it() -> None:
    python = (
        '"""drop users"""\n\n\ndef upgrade():\n    op.add_column("orders", x)\n'
        '    op.drop_table("users")\n\n\ndef downgrade():\n    op.create_table("users")'
    )
    (found,) = judged(DROP, python=python)
    assert (found.line, found.path_line) == (1, 6)


def test_what_could_not_be_rendered_or_read_is_said_and_fails() -> None:
    source = Source(sql="SELECT 1", revision="a1", problem="it reads from the database")
    (found,) = judge([source])
    assert (found.rule, found.severity) == ("opaque", "fail")
    assert found.message == "it reads from the database"
    (found,) = judged("SELECT 1; DROP TABLE 'users")
    assert (found.rule, found.severity) == ("opaque", "fail")


def test_a_table_is_new_in_its_own_revision_only() -> None:
    create = Source(sql="CREATE TABLE t (n int)", revision="a1")
    index = Source(sql="CREATE INDEX i ON t (n)", revision="b2")
    assert names(judge([create, index])) == ["index-not-concurrent"]
    both = Source(sql=f"{create.sql};{index.sql}", revision="a1")
    assert judge([both]) == []


def test_a_later_revision_knows_the_types_of_an_earlier_one() -> None:
    sources = [
        Source(sql="CREATE TABLE t (a varchar(10), b varchar(10))", revision="a1"),
        Source(sql="ALTER TABLE t ALTER a TYPE varchar(20)", revision="b2"),
        Source(sql="ALTER TABLE t ALTER a TYPE varchar(15)", revision="c3"),
    ]
    assert [(it.revision, it.rule) for it in judge(sources)] == [
        ("c3", "change-column-type")
    ]
    assert names(judge(sources[2:])) == ["change-column-type-unknown"]


def test_what_a_range_stands_on_is_known_and_not_judged() -> None:
    earlier = Source(sql=f"CREATE TABLE t (a varchar(10));{DROP}", is_earlier=True)
    later = Source(sql="ALTER TABLE t ALTER a TYPE varchar(20)", revision="b2")
    assert judge([earlier, later]) == []


def test_what_a_revision_sets_is_forgotten_after_it() -> None:
    sources = [
        Source(sql="CREATE TABLE t (a timestamp, b timestamp)", revision="a1"),
        Source(
            sql="SET LOCAL timezone = 'UTC'; ALTER TABLE t ALTER a TYPE timestamptz"
        ),
        Source(sql="ALTER TABLE t ALTER b TYPE timestamptz", revision="c3"),
    ]
    assert [it.revision for it in judge(sources)] == ["c3"]


INDEX = "CREATE INDEX i ON users (a)"
BIG = [(BIG_ROWS, 1), (1, BIG_BYTES), (None, BIG_BYTES)]
UNSURE = [(None, 1), (SMALL_ROWS, 1), (1, SMALL_BYTES), (None, None)]


@pytest.mark.parametrize(
    ("sql", "rows", "size_bytes", "severity"),
    [
        (INDEX, SMALL_ROWS - 1, SMALL_BYTES - 1, "warn"),
        *((INDEX, rows, size, "fail") for rows, size in [*BIG, *UNSURE]),
        *(("DROP INDEX users_i", rows, size, "fail") for rows, size in BIG),
        *(("DROP INDEX users_i", rows, size, "warn") for rows, size in UNSURE),
        *((DROP, rows, size, "fail") for rows, size in [(0, 0), *BIG, *UNSURE]),
    ],
)
def test_size_decides_on_locks_and_never_on_losses(
    sql: str, rows: int | None, size_bytes: int | None, severity: str
) -> None:
    users = Name("public", "users")
    table = Table(rows=rows, size_bytes=size_bytes)
    known = Known({users: table}, index_tables={"users_i": users})
    (found,) = judged(sql, known)
    assert found.severity == severity
    assert (found.rows, found.size_bytes) == (rows, size_bytes)


def test_without_a_server_the_number_of_rows_is_unknown_and_not_zero() -> None:
    (found,) = judged(INDEX)
    assert (found.table, found.rows, found.size_bytes) == ("users", None, None)


def test_a_file_is_taken_for_a_transaction_unless_it_says_otherwise() -> None:
    adds = "ALTER TABLE a ADD x int;\nALTER TABLE b ADD x int;"
    assert names(judge([Source(sql=adds)])) == ["several-tables-locked"]
    alone = f"BEGIN;\nSELECT 1;\nCOMMIT;\n{adds}"
    assert judge([Source(sql=alone)]) == []
    assert judge([Source(sql="CREATE INDEX CONCURRENTLY i ON a (x)")]) == []


def test_a_revision_that_leaves_its_transaction_is_in_one_before_and_after() -> None:
    sql = (
        "ALTER TABLE a ADD x int;\nCOMMIT;\n"
        "CREATE INDEX CONCURRENTLY i ON a (x);\nBEGIN;\n"
        "CREATE INDEX CONCURRENTLY j ON a (x);"
    )
    found = judge([Source(sql=sql, transactional=False)])
    assert [(it.rule, it.line) for it in found] == [
        ("concurrently-with-others", 3),
        ("concurrently-in-transaction", 5),
    ]


def test_a_script_of_alembic_is_judged_revision_by_revision() -> None:
    script = (
        "BEGIN;\n\nCREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);\n\n"
        "-- Running upgrade  -> a1\n\nCREATE TABLE t (n int);\n\n"
        "INSERT INTO alembic_version (version_num) VALUES ('a1');\n\n"
        "-- Running upgrade a1 -> b2\n\nCREATE INDEX i ON t (n);\n\n"
        "UPDATE alembic_version SET version_num='b2';\n\nCOMMIT;\n"
    )
    found = judge(of_text(script, "up.sql"))
    assert [(it.revision, it.rule, it.line) for it in found] == [
        ("b2", "index-not-concurrent", 13)
    ]


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    latin = tmp_path / "latin.sql"
    latin.write_bytes("SELECT 'ü'".encode("latin-1"))
    for path in (tmp_path / "none.sql", tmp_path, latin, Path("nul\0.sql")):
        with pytest.raises(UsageError):
            of_file(path)
    marked = tmp_path / "marked.sql"
    marked.write_bytes(b"\xef\xbb\xbf" + DROP.encode())
    assert names(judge(of_file(marked))) == ["drop-table"]


def test_every_rule_says_what_to_do_and_who_says_so() -> None:
    for rule in RULES.values():
        assert rule.remedy
        assert rule.source.startswith("https://")
    assert {name for ours in OURS.values() for name in ours} <= set(RULES)


async def test_squawk_adds_what_only_it_has_and_nothing_twice() -> None:
    program = installed()
    assert program is not None
    sql = f"SELECT 1;\nALTER TABLE users DROP COLUMN a, ADD COLUMN {LONG} text;"
    found = await squawk(program, [Source(sql="SELECT 1"), Source(sql=sql)])
    assert [(it.rule, it.line, it.severity) for it in found] == [
        ("squawk-identifier-too-long", 2, "warn")
    ]
    ignored = f"-- dbops:ignore squawk-identifier-too-long as it was\n{sql[10:]}"
    assert await squawk(program, [Source(sql=ignored)]) == []


async def test_squawks_matters_of_taste_are_told_when_asked_for() -> None:
    program = installed()
    assert program is not None
    source = Source(sql="CREATE TABLE t (n int)", transactional=True)
    assert await squawk(program, [source]) == []
    found = await squawk(program, [source], style=True)
    assert "squawk-prefer-bigint-over-int" in names(found)


async def test_squawk_finds_fault_with_no_safe_statement_of_the_catalogue() -> None:
    program = installed()
    assert program is not None
    sources = [
        Source(sql=one.sql, transactional=not one.alone)
        for one in CATALOGUE
        if not one.rules
    ]
    found = await squawk(program, sources)
    assert [(it.rule, it.statement) for it in found] == []


async def test_a_squawk_that_does_not_work_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "squawk"
    broken.write_text("#!/bin/sh\necho out of order >&2; exit 3\n")
    broken.chmod(0o755)
    with pytest.raises(FailedError, match="out of order"):
        await squawk(broken, [Source(sql=DROP)])
    with pytest.raises(FailedError):
        await squawk(tmp_path / "none", [Source(sql=DROP)])


async def test_a_missing_squawk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbops.operations.lint.lint.installed", lambda: None)
    said: list[str] = []
    found = await lint([Source(sql=DROP)], on_notice=said.append)
    assert not found.has_squawk
    assert said == ["note: squawk is not installed, so only our own rules are asked"]


async def test_the_verdict_is_a_failure_from_the_severity_on_that_is_asked_for() -> (
    None
):
    warns, fails = Source(sql="DROP INDEX i"), Source(sql=DROP)
    assert (await lint([Source(sql="SELECT 1")])).status == "ok"
    assert (await lint([warns])).status == "warn"
    assert (await lint([warns], fail_on="warn")).status == "fail"
    assert (await lint([fails])).outcome is Outcome.UNHEALTHY


def test_an_annotation_is_one_line_whatever_it_says() -> None:
    (found,) = judged(DROP)
    evil = found.model_copy(
        update={"path": "a,b:c%.py", "message": "50%\n::error::x", "path_line": 7}
    )
    linted = Linted(judged=(), findings=(evil,), sizes_from=None, has_squawk=False)
    text = annotations("lint", linted, None)
    assert text.startswith(
        "::error file=a%2Cb%3Ac%25.py,line=7,title=dbops lint%3A drop-table::"
        "50%25%0A::error::x. Instead: "
    )
    assert text.count("\n") == 1


def test_an_error_is_an_annotation_too() -> None:
    problem = Problem(type="X", message="m", hint="h", outcome=Outcome.CONFIG)
    assert annotations("ping", None, problem) == "::error title=dbops ping::m. h\n"
