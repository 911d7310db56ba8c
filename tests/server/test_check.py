"""check: models against a real database, difference by difference, and its twins."""

import asyncio
import json
from pathlib import Path
from textwrap import indent

import pytest
from alembic import command
from alembic.config import Config

from dbops.engine.connect import connect
from dbops.errors import ConfigError, RefusedError, UnreachableError, UsageError
from dbops.operations.check.check import check, check_heads
from dbops.operations.check.differences import differences
from dbops.operations.init import init
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.upgrade import migrate
from tests.conftest import Served, missing
from tests.revisions import write_revision
from tests.server.shop import ARTICLE, Shop, new_shop
from tests.server.test_proof import leave_invalid


@pytest.fixture
async def shop(served: Served, tmp_path: Path) -> Shop:
    return await new_shop(served, tmp_path)


async def test_a_database_that_is_like_its_models_is_ok(shop: Shop) -> None:
    found = await shop.check()
    assert (found.status, found.outcome) == ("ok", "ok"), found.findings
    assert found.heads == found.current == ("a1",)
    assert (found.state, found.drift) == ("at_head", "none")
    assert found.differences == ()
    assert found.findings == ()


MISSING = "is in the models and not in the database"
EXTRA = "is in the database and not in the models"
A = "public.article"

DIFFERENCES = [
    ("DROP TABLE article", "add_table", A, f"table {A} {MISSING}"),
    (
        "CREATE TABLE extra (n int); CREATE INDEX ON extra (n)",
        "remove_table",
        "public.extra",
        f"table public.extra {EXTRA}",
    ),
    (
        "ALTER TABLE article DROP COLUMN note",
        "add_column",
        f"{A}.note",
        f"column {A}.note {MISSING}",
    ),
    (
        "ALTER TABLE article ADD COLUMN extra int",
        "remove_column",
        f"{A}.extra",
        f"column {A}.extra {EXTRA}",
    ),
    (
        "ALTER TABLE article ALTER price TYPE numeric(9, 2)",
        "modify_type",
        f"{A}.price",
        f"column {A}.price is numeric(9, 2) in the database and integer in the models",
    ),
    (
        "ALTER TABLE article ALTER title DROP NOT NULL",
        "modify_nullable",
        f"{A}.title",
        f"column {A}.title is nullable in the database and NOT NULL in the models",
    ),
    (
        "ALTER TABLE article ALTER price SET NOT NULL",
        "modify_nullable",
        f"{A}.price",
        f"column {A}.price is NOT NULL in the database and nullable in the models",
    ),
    (
        "COMMENT ON COLUMN article.title IS NULL",
        "modify_comment",
        f"{A}.title",
        (
            f"column {A}.title has no comment in the database and the comment shown "
            "in the models"
        ),
    ),
    (
        "DROP INDEX ix_price",
        "add_index",
        f"{A}.ix_price",
        f"index {A}.ix_price (price) {MISSING}",
    ),
    (
        "CREATE UNIQUE INDEX extra ON article (lower(title))",
        "remove_index",
        f"{A}.extra",
        f"unique index {A}.extra (lower(title::text)) {EXTRA}",
    ),
    (
        "ALTER TABLE article DROP CONSTRAINT uq_title",
        "add_constraint",
        f"{A}.uq_title",
        f"unique constraint {A}.uq_title (title) {MISSING}",
    ),
    (
        "ALTER TABLE article ADD CONSTRAINT extra UNIQUE (price)",
        "remove_constraint",
        f"{A}.extra",
        f"unique constraint {A}.extra (price) {EXTRA}",
    ),
    (
        "ALTER TABLE article DROP CONSTRAINT fk_shelf",
        "add_fk",
        f"{A}.fk_shelf",
        f"foreign key constraint {A}.fk_shelf (shelf) to shelf.id {MISSING}",
    ),
    (
        (
            "ALTER TABLE article ADD CONSTRAINT extra FOREIGN KEY (price) "
            "REFERENCES shelf ON DELETE CASCADE"
        ),
        "remove_fk",
        f"{A}.extra",
        (
            f"foreign key constraint {A}.extra (price) to shelf.id ON DELETE CASCADE "
            f"{EXTRA}"
        ),
    ),
    (
        "COMMENT ON TABLE article IS NULL",
        "add_table_comment",
        A,
        (
            f"table {A} has no comment in the database and the comment for sale in the "
            "models"
        ),
    ),
    (
        "COMMENT ON TABLE shelf IS 'oak'",
        "remove_table_comment",
        "public.shelf",
        (
            "table public.shelf has the comment oak in the database and no comment in "
            "the models"
        ),
    ),
]


@pytest.mark.parametrize(
    ("statement", "kind", "name", "message"),
    [pytest.param(*case, id=f"{case[1]} {case[0]}") for case in DIFFERENCES],
)
async def test_a_difference_is_one_readable_sentence(
    shop: Shop, statement: str, kind: str, name: str, message: str
) -> None:
    await shop.run(statement)
    found = await shop.check()
    assert [(d.kind, d.object) for d in found.differences] == [(kind, name)]
    assert found.differences[0].message == message
    assert not found.differences[0].accepted
    assert (found.status, found.drift, found.outcome) == ("fail", "found", "pending")
    again = await shop.check()
    assert [d.key for d in again.differences] == [d.key for d in found.differences]


async def test_an_index_on_other_columns_is_told_from_both_sides(
    shop: Shop,
) -> None:
    await shop.run("DROP INDEX ix_price; CREATE INDEX ix_price ON article (id, price)")
    found = await shop.check()
    assert [d.message for d in found.differences] == [
        f"index {A}.ix_price (id, price) {EXTRA}",
        f"index {A}.ix_price (price) {MISSING}",
    ]
    assert len({d.key for d in found.differences}) == 2


async def test_checks_are_compared_where_env_py_says_so(shop: Shop) -> None:
    await shop.run("ALTER TABLE article DROP CONSTRAINT ck_price")
    assert (await shop.check()).drift == "none"
    plugins = ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"]
    shop.model(ARTICLE, options=f"{{'autogenerate_plugins': {plugins}}}")
    (found,) = (await shop.check()).differences
    assert found.message == f"check constraint {A}.ck_price (price >= 0) {MISSING}"


async def test_defaults_are_compared_where_env_py_says_so(shop: Shop) -> None:
    await shop.run("ALTER TABLE article ALTER price SET DEFAULT 9")
    assert (await shop.check()).drift == "none"
    shop.model(ARTICLE, options="{'compare_server_default': True}")
    (found,) = (await shop.check()).differences
    assert found.kind == "modify_default"
    assert found.message == (
        "column public.article.price has the default 9 in the database and the default "
        "0 in the models"
    )


async def test_what_env_py_leaves_out_is_left_out(shop: Shop) -> None:
    await shop.run("CREATE TABLE theirs (n int)", "CREATE TABLE ours (n int)")
    skip = "{'include_object': lambda o, name, *_: name != 'theirs'}"
    shop.model(ARTICLE, options=skip)
    assert [d.object for d in (await shop.check()).differences] == ["public.ours"]
    skip = "{'include_name': lambda name, *_: name not in ('theirs', 'ours')}"
    shop.model(ARTICLE, options=skip)
    assert (await shop.check()).drift == "none"
    empty = "{'process_revision_directives': lambda c, r, found: found.clear()}"
    shop.model(ARTICLE, options=empty)
    assert (await shop.check()).drift == "none"


async def test_types_are_not_compared_where_env_py_says_so(shop: Shop) -> None:
    await shop.run("ALTER TABLE article ALTER price TYPE numeric")
    shop.model(ARTICLE, options="{'compare_type': False}")
    assert (await shop.check()).drift == "none"


async def test_partitions_and_what_they_inherit_are_no_differences(
    shop: Shop,
) -> None:
    visit = """
Table("visit", metadata, Column("n", Integer), Index("by_n", "n"),
      Column("shelf", Integer, ForeignKey("shelf.id")), UniqueConstraint("n"),
      CheckConstraint("n > 0", name="few"),
      postgresql_partition_by="RANGE (n)")
"""
    await shop.run(
        "CREATE TABLE visit (n int UNIQUE CONSTRAINT few CHECK (n > 0), "
        "shelf int REFERENCES shelf) "
        "PARTITION BY RANGE (n)",
        "CREATE INDEX by_n ON visit (n)",
        "CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM (0) TO (9)",
    )
    shop.model(ARTICLE + visit)
    assert (await shop.check()).differences == ()
    # Also where the models know a partition by name.
    columns = 'Column("n", Integer), Column("shelf", Integer)'
    part = f'Table("visit_1", metadata, {columns})\n'
    shop.model(ARTICLE + visit + part)
    assert (await shop.check()).differences == ()
    await shop.run("CREATE INDEX its_own ON visit_1 (n)")
    assert [d.object for d in (await shop.check()).differences] == [
        "public.visit_1.its_own"
    ]


async def test_what_an_extension_brought_along_is_no_difference(
    shop: Shop,
) -> None:
    connection = await connect(shop.served.writer)
    known = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'"
    has_one = await connection.fetchval(known)
    await connection.close()
    if not has_one:
        missing("the contrib extension pg_trgm")
    await shop.run("CREATE EXTENSION pg_trgm", "CREATE TABLE spatial_ref_sys (n int)")
    assert [d.object for d in (await shop.check()).differences] == [
        "public.spatial_ref_sys"
    ]
    await shop.run("ALTER EXTENSION pg_trgm ADD TABLE spatial_ref_sys")
    assert (await shop.check()).differences == ()


async def test_other_schemas_version_tables_and_the_journal_are_no_differences(
    shop: Shop,
) -> None:
    await shop.run(
        "CREATE SCHEMA other",
        "CREATE TABLE other.t (n int)",
        "CREATE SCHEMA pgdbops",
        "CREATE TABLE pgdbops.journal (n int)",
        "CREATE TABLE alembic_version_of_another (version_num varchar(32) NOT NULL)",
    )
    assert (await shop.check()).differences == ()
    # As some keep it: with a column of their own, and named with its schema.
    await shop.run("ALTER TABLE alembic_version ADD since timestamptz")
    options = "{'include_schemas': True, 'version_table_schema': 'public'}"
    shop.model(ARTICLE, options=options)
    assert (await shop.check()).differences == ()


async def test_models_of_another_schema_are_found_there(shop: Shop) -> None:
    await shop.run("CREATE SCHEMA app", "CREATE TABLE app.t (n int)")
    shop.model(ARTICLE + 'Table("t", metadata, Column("n", Text), schema="app")')
    (found,) = (await shop.check()).differences
    assert found.message == (
        "column app.t.n is integer in the database and text in the models"
    )
    await shop.run("CREATE TABLE app.extra (n int)")
    objects = {d.object for d in (await shop.check()).differences}
    assert objects == {"app.t.n", "app.extra"}


async def test_a_model_of_a_view_is_not_missing(shop: Shop) -> None:
    shop.model(ARTICLE + 'Table("cheap", metadata, Column("id", Integer))')
    assert (await shop.check()).drift == "found"
    await shop.run("CREATE VIEW cheap AS SELECT id FROM article")
    assert (await shop.check()).drift == "none"


@pytest.mark.parametrize("template", ["generic", "async", "pyproject"])
async def test_an_env_py_that_opens_its_own_connection_is_checked_too(
    shop: Shop, template: str
) -> None:
    folder = shop.folder / template
    ini, toml = folder / "alembic.ini", folder / "pyproject.toml"
    folder.mkdir()
    config = Config(str(ini), toml_file=str(toml))
    await asyncio.to_thread(
        command.init, config, str(folder / "migrations"), template=template
    )
    env = folder / "migrations" / "env.py"
    models = f"from sqlalchemy import *\nmetadata = MetaData()\n{ARTICLE}"
    text = env.read_text().replace("target_metadata = None", f"{models}\n§")
    env.write_text(text.replace("§", "target_metadata = metadata"))
    write_revision(folder, "a1", None, "pass")
    project = Project(str(toml if template == "pyproject" else ini))
    found = await check(shop.served.connectors(), project)
    assert (found.drift, found.outcome) == ("none", "ok"), found.differences
    await shop.run("DROP INDEX ix_price")
    found = await check(shop.served.connectors(), project)
    assert [d.kind for d in found.differences] == ["add_index"]


async def test_without_models_drift_is_unknown_and_never_ok(shop: Shop) -> None:
    shop.model(ARTICLE, target="None")
    found = await shop.check()
    assert (found.status, found.drift, found.outcome) == (
        "unknown",
        "unknown",
        "unhealthy",
    )
    assert "target_metadata" in found.findings[0].message
    assert await differences(shop.served.connectors(), shop.project) is None
    asked = await shop.check(drift=False)
    assert (asked.status, asked.drift, asked.outcome) == ("ok", "not_compared", "ok")


async def test_pending_revisions_are_no_flood_of_drift(shop: Shop) -> None:
    write_revision(shop.folder, "b2", "a1", "op.execute('CREATE TABLE t (n int)')")
    shop.model(ARTICLE + 'Table("t", metadata, Column("n", Integer))')
    found = await shop.check()
    assert (found.state, found.drift, found.outcome) == (
        "behind",
        "not_compared",
        "pending",
    )
    assert [each.revision for each in found.pending] == ["b2"]
    assert found.differences == ()
    assert found.findings[0].remedy == "dbops migrate"
    assert "at head only" in found.findings[0].message
    # Whoever stamps has to know all the same.
    said = await differences(shop.served.connectors(), shop.project)
    assert [d.object for d in said or ()] == ["public.t"]


async def test_a_database_ahead_of_the_code_is_refused(shop: Shop) -> None:
    await shop.run("UPDATE alembic_version SET version_num = 'gone'")
    found = await shop.check()
    assert (found.state, found.drift, found.outcome) == (
        "ahead",
        "not_compared",
        "refused",
    )
    assert "gone" in found.findings[0].message


async def test_several_heads_are_refused_with_fork_point_and_merge(
    shop: Shop,
) -> None:
    write_revision(shop.folder, "b2", "a1", "pass")
    write_revision(shop.folder, "b3", "a1", "pass")
    await migrate(shop.served.connectors(), shop.project, "heads")
    found = await shop.check()
    assert found.heads == ("b2", "b3")
    assert found.fork_points == ("a1",)
    assert found.state == "at_head"
    assert found.drift == "none"
    assert found.outcome == "refused"
    assert "fork at a1" in found.findings[0].message
    assert found.findings[0].remedy == found.merge
    assert str(found.merge).endswith('merge -m "merge heads" heads')


async def test_an_invalid_index_and_a_constraint_not_valid_fail(
    shop: Shop,
) -> None:
    add = "ALTER TABLE article ADD CONSTRAINT late CHECK (price < 9) NOT VALID"
    await shop.run(add)
    shop.model(ARTICLE.replace("Index(", 'CheckConstraint("price<9","late"),Index('))
    found = await shop.check()
    assert found.drift == "none"
    assert (found.status, found.outcome) == ("fail", "unhealthy")
    (constraint,) = found.not_valid_constraints
    assert constraint.remedy == "ALTER TABLE public.article VALIDATE CONSTRAINT late"
    await shop.run(constraint.remedy)
    assert (await shop.check()).outcome == "ok"
    await leave_invalid(shop.served, "stale", "t")
    found = await shop.check(drift=False)
    assert (found.status, found.outcome) == ("fail", "unhealthy")
    (index,) = found.invalid_indexes
    assert (index.name, index.table) == ("public.stale", "public.t")
    assert found.findings[0].remedy == index.remedy


async def test_an_index_that_waits_for_its_partitions_is_a_warning(
    shop: Shop,
) -> None:
    await shop.run(
        "CREATE TABLE visit (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM (0) TO (9)",
        "CREATE INDEX by_n ON ONLY visit (n)",
    )
    found = await shop.check(drift=False)
    assert (found.status, found.outcome) == ("warn", "ok")
    assert [index.name for index in found.incomplete_indexes] == ["public.by_n"]


async def test_of_several_problems_the_one_in_the_way_decides(
    shop: Shop,
) -> None:
    await shop.run("ALTER TABLE article ADD extra int")
    assert (await shop.check()).outcome == "pending"
    await leave_invalid(shop.served, "stale", "t")
    both = await shop.check()
    assert both.outcome == "unhealthy"
    assert len(both.findings) == 2
    write_revision(shop.folder, "b2", "a1", "pass")
    behind = await shop.check()
    assert (behind.state, behind.outcome) == ("behind", "unhealthy")
    write_revision(shop.folder, "b3", "a1", "pass")
    all_three = await shop.check()
    assert all_three.outcome == "refused"
    assert [f.message.split()[0] for f in all_three.findings] == ["the", "index", "2"]


async def test_an_unknown_drift_does_not_hide_an_invalid_index(
    shop: Shop,
) -> None:
    shop.model(ARTICLE, target="None")
    await leave_invalid(shop.served, "stale", "t")
    found = await shop.check()
    assert (found.status, found.outcome, found.drift) == (
        "fail",
        "unhealthy",
        "unknown",
    )


async def test_a_baseline_accepts_what_it_lists_and_nothing_else(
    shop: Shop,
) -> None:
    file = shop.folder / "drift.json"
    await shop.run("ALTER TABLE article ALTER price TYPE numeric")
    written = await shop.check(baseline=file, accept=True)
    assert written.baseline_written
    assert written.outcome == "ok"
    assert [d.accepted for d in written.differences] == [True]
    (entry,) = json.loads(file.read_text())["accepted"]
    assert entry["key"] == written.differences[0].key
    assert entry["message"] == written.differences[0].message
    assert (await shop.check(baseline=file)).drift == "none"
    # The same column, another type: that was never accepted.
    await shop.run("ALTER TABLE article ALTER price TYPE bigint")
    other = await shop.check(baseline=file)
    assert other.outcome == "pending"
    assert [d.accepted for d in other.differences] == [False]
    assert [s.key for s in other.stale] == [entry["key"]]


async def test_what_no_longer_differs_is_stale_and_only_a_warning(
    shop: Shop,
) -> None:
    file = shop.folder / "drift.json"
    await shop.run("ALTER TABLE article ADD extra int")
    await shop.check(baseline=file, accept=True)
    await shop.run("ALTER TABLE article DROP extra")
    found = await shop.check(baseline=file)
    assert (found.status, found.outcome) == ("warn", "ok")
    assert [s.message for s in found.stale] == [
        "column public.article.extra is in the database and not in the models"
    ]
    assert "--accept" in found.findings[0].remedy
    assert (await shop.check(baseline=file, accept=True)).stale == ()


async def test_nothing_is_accepted_that_was_not_compared(shop: Shop) -> None:
    file = shop.folder / "drift.json"
    write_revision(shop.folder, "b2", "a1", "pass")
    found = await shop.check(baseline=file, accept=True)
    assert not found.baseline_written
    assert found.outcome == "pending"
    assert not file.exists()
    with pytest.raises(UsageError):
        await shop.check(accept=True)
    with pytest.raises(UsageError):
        await shop.check(baseline=file, accept=True, drift=False)


@pytest.mark.parametrize("text", [None, "{", "[]", '{"accepted": [{}]}', '"\\ud800"'])
async def test_a_baseline_that_cannot_be_read_is_one_sentence(
    shop: Shop, text: str | None
) -> None:
    file = shop.folder / "drift.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        await shop.check(baseline=file)
    assert str(file) in raised.value.message
    assert raised.value.hint


async def test_a_baseline_that_cannot_be_written_is_refused(shop: Shop) -> None:
    with pytest.raises(RefusedError, match="cannot be written"):
        await shop.check(baseline=shop.folder, accept=True)


async def test_check_changes_nothing_in_the_database(shop: Shop) -> None:
    connection = await connect(shop.served.writer)
    objects = "SELECT count(*) FROM pg_class"
    await shop.run("ALTER TABLE article ALTER price TYPE numeric")
    before = await connection.fetchval(objects)
    await shop.check()
    assert await connection.fetchval(objects) == before
    await connection.close()


async def test_a_server_that_is_not_there_is_unreachable(shop: Shop) -> None:
    nowhere = "postgresql://u:x@127.0.0.1:1/x"
    with pytest.raises(UnreachableError):
        await check(shop.served.connectors(database_url=nowhere), shop.project)


async def test_the_heads_need_no_database(tmp_path: Path) -> None:
    await init(tmp_path)
    ini = str(tmp_path / "alembic.ini")
    assert check_heads(Project(ini)).outcome == "ok"
    write_revision(tmp_path, "a1", None, "pass")
    assert check_heads(Project(ini)).heads == ("a1",)
    for name, down in (("b1", "a1"), ("c1", "b1"), ("c2", "b1"), ("d1", "a1")):
        write_revision(tmp_path, name, down, "pass")
    found = check_heads(Project(ini))
    assert (found.status, found.outcome) == ("fail", "refused")
    assert found.heads == ("c1", "c2", "d1")
    assert found.fork_points == ("a1", "b1")
    for name in ("b1", "c1", "c2", "d1"):
        (tmp_path / "migrations" / "versions" / f"{name}.py").unlink()
    write_revision(tmp_path, "z9", None, "pass")
    apart = check_heads(Project(ini))
    assert apart.fork_points == ()
    assert "no revision in common" in apart.findings[0].message


@pytest.mark.parametrize("body", ["1 / 0", "import no_such_module", "def"])
async def test_a_revision_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, body: str
) -> None:
    await init(tmp_path)
    file = tmp_path / "migrations" / "versions" / "a1.py"
    file.write_text(f"revision = 'a1'\ndown_revision = None\n{indent(body, '')}\n")
    with pytest.raises(ConfigError, match="revisions cannot be read"):
        check_heads(Project(str(tmp_path / "alembic.ini")))


@pytest.mark.filterwarnings("ignore:Revision gone")
async def test_a_revision_that_follows_nothing_known_is_one_sentence(
    tmp_path: Path,
) -> None:
    await init(tmp_path)
    write_revision(tmp_path, "b2", "gone", "pass")
    with pytest.raises(ConfigError):
        check_heads(Project(str(tmp_path / "alembic.ini")))
