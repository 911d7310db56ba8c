"""Taking revisions back: a plan, a confirmation, and nothing beyond the plan."""

import asyncio
from pathlib import Path

import pytest

from dbops.engine.connect import connect
from dbops.errors import FailedError, RefusedError, UsageError
from dbops.operations.migrate.apply import Options
from dbops.operations.migrate.migrated import Migrated
from dbops.operations.migrate.rollback import WayBack, planned_rollback, rollback
from dbops.operations.migrate.upgrade import migrate
from tests.conftest import Served
from tests.revisions import opened, tables

DOWN = {
    "a1": "op.execute('DROP TABLE a')",
    "b2": "op.execute('DROP TABLE b')",
    "c3": "op.execute('DROP TABLE c')",
}


@pytest.fixture
def reversible(project: Path) -> Path:
    for name, sql in DOWN.items():
        write_downgrade(project, name, sql)
    return project


def write_downgrade(project: Path, name: str, body: str) -> None:
    file = project / "migrations" / "versions" / f"{name}.py"
    head, _, _ = file.read_text().partition("def downgrade():")
    file.write_text(f"{head}def downgrade():\n    {body}\n")


async def taken_back(served: Served, project: Path, way: WayBack) -> Migrated:
    connectors = served.connectors()
    plan = await planned_rollback(connectors, opened(project), way)
    return await rollback(connectors, opened(project), plan, confirmed=True)


@pytest.mark.parametrize(
    ("way", "left"),
    [
        (WayBack(), {"a", "b"}),
        (WayBack(either="2"), {"a"}),
        (WayBack(steps=2), {"a"}),
        (WayBack(either="a1"), {"a"}),
        (WayBack(to="b2"), {"a", "b"}),
        (WayBack(to="base"), set[str]()),
    ],
)
async def test_as_much_is_taken_back_as_was_said(
    served: Served, reversible: Path, way: WayBack, left: set[str]
) -> None:
    await migrate(served.connectors(), opened(reversible))
    found = await taken_back(served, reversible, way)
    assert found.before == ("c3",)
    assert await tables(served) == {"alembic_version", *left}
    assert len(found.applied) == 3 - len(left)


async def test_the_plan_changes_nothing(served: Served, reversible: Path) -> None:
    await migrate(served.connectors(), opened(reversible))
    plan = await planned_rollback(
        served.connectors(), opened(reversible), WayBack(steps=2)
    )
    assert [step.revision for step in plan.planned] == ["c3", "b2"]
    assert await tables(served) == {"alembic_version", "a", "b", "c"}


async def test_nothing_is_taken_back_unconfirmed(
    served: Served, reversible: Path
) -> None:
    connectors = served.connectors()
    await migrate(connectors, opened(reversible))
    plan = await planned_rollback(connectors, opened(reversible), WayBack())
    with pytest.raises(RefusedError, match="c3 needs a confirmation"):
        await rollback(connectors, opened(reversible), plan, confirmed=False)
    assert "c" in await tables(served)


async def test_a_protected_target_is_refused_before_anything_is_asked(
    served: Served, reversible: Path
) -> None:
    connectors = served.connectors(protected=True)
    with pytest.raises(RefusedError, match="protected"):
        await planned_rollback(connectors, opened(reversible), WayBack())


async def test_a_retry_takes_back_no_more_than_was_planned(
    served: Served, reversible: Path
) -> None:
    await migrate(served.connectors(), opened(reversible))
    # The second of two steps has to wait for a reader, once.
    reader = await connect(served.writer)
    await reader.execute("BEGIN; SELECT * FROM b")
    said: list[str] = []

    connectors = served.connectors(ddl_lock_timeout="300ms")
    plan = await planned_rollback(connectors, opened(reversible), WayBack(steps=2))
    task = asyncio.ensure_future(
        rollback(
            connectors,
            opened(reversible),
            plan,
            confirmed=True,
            options=Options(on_progress=said.append),
        )
    )
    async with asyncio.timeout(30):
        while not any("tried again" in text for text in said):
            await asyncio.sleep(0.02)
    await reader.close()
    found = await task
    assert found.retries >= 1
    assert found.after == ("a1",)
    assert [step.revision for step in found.applied] == ["c3", "b2"]
    assert await tables(served) == {"alembic_version", "a"}


async def test_a_database_that_moved_on_since_the_plan_is_refused(
    served: Served, reversible: Path
) -> None:
    connectors = served.connectors()
    await migrate(connectors, opened(reversible), "b2")
    plan = await planned_rollback(connectors, opened(reversible), WayBack())
    await migrate(connectors, opened(reversible))
    with pytest.raises(RefusedError, match="moved on"):
        await rollback(connectors, opened(reversible), plan, confirmed=True)
    assert await tables(served) == {"alembic_version", "a", "b", "c"}


async def test_a_failing_downgrade_is_named(served: Served, reversible: Path) -> None:
    write_downgrade(reversible, "b2", "1 / 0")
    await migrate(served.connectors(), opened(reversible))
    with pytest.raises(FailedError, match="revision b2 failed and was rolled back"):
        await taken_back(served, reversible, WayBack(to="base"))
    assert await tables(served) == {"alembic_version", "a", "b"}


@pytest.mark.parametrize(
    ("way", "said"),
    [(WayBack(to="nope"), "no revision 'nope'"), (WayBack(steps=9), "no way")],
)
async def test_a_way_that_leads_nowhere_is_a_usage_error(
    served: Served, reversible: Path, way: WayBack, said: str
) -> None:
    await migrate(served.connectors(), opened(reversible))
    with pytest.raises(UsageError, match=said):
        await planned_rollback(served.connectors(), opened(reversible), way)


async def test_an_empty_database_has_nothing_to_take_back(
    served: Served, reversible: Path
) -> None:
    found = await taken_back(served, reversible, WayBack())
    assert found.applied == ()
    assert found.after == ()
