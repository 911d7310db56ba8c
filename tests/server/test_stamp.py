"""A stamp is a claim about the database, and is checked."""

from pathlib import Path

import pytest

from dbops.engine.connect import connect
from dbops.errors import RefusedError, UsageError
from dbops.operations.migrate.upgrade import migrate
from dbops.operations.stamp import stamp
from tests.conftest import Served
from tests.revisions import opened, tables

MODELS = """
from sqlalchemy import Column, Integer, MetaData, Table
metadata = MetaData()
for name in "abc":
    Table(name, metadata, Column("n", Integer))
"""


@pytest.fixture
def with_models(project: Path) -> Path:
    env = project / "migrations" / "env.py"
    env.write_text(
        "from dbops.integrations.alembic import run_migrations\n"
        f"{MODELS}\nrun_migrations(target_metadata=metadata)\n"
    )
    return project


async def build(served: Served, names: str) -> None:
    connection = await connect(served.writer)
    for name in names:
        await connection.execute(f"CREATE TABLE {name} (n int)")
    await connection.close()


async def test_a_database_like_the_models_is_stamped(
    served: Served, with_models: Path
) -> None:
    await build(served, "abc")
    found = await stamp(served.connectors(), opened(with_models), "head")
    assert found.before == ()
    assert found.after == ("c3",)
    assert (await migrate(served.connectors(), opened(with_models))).applied == ()


async def test_a_database_that_lacks_a_table_is_not(
    served: Served, with_models: Path
) -> None:
    await build(served, "ab")
    with pytest.raises(RefusedError, match="in 1 place"):
        await stamp(served.connectors(), opened(with_models), "head")
    assert await tables(served) == {"a", "b"}


async def test_force_stamps_without_looking(served: Served, project: Path) -> None:
    found = await stamp(served.connectors(), opened(project), "b2", force=True)
    assert found.after == ("b2",)
    back = await stamp(served.connectors(), opened(project), "base", force=True)
    assert back.after == ()


async def test_what_nobody_can_verify_is_refused(
    served: Served, project: Path, with_models: Path
) -> None:
    with pytest.raises(RefusedError, match="only the newest"):
        await stamp(served.connectors(), opened(with_models), "b2")
    env = project / "migrations" / "env.py"
    env.write_text(
        "from dbops.integrations.alembic import run_migrations\nrun_migrations()\n"
    )
    with pytest.raises(RefusedError, match="names no models"):
        await stamp(served.connectors(), opened(project), "head")


async def test_an_unknown_revision_is_a_usage_error(
    served: Served, project: Path
) -> None:
    with pytest.raises(UsageError, match="no revision 'nope'"):
        await stamp(served.connectors(), opened(project), "nope", force=True)
