"""dbops_session, with every plugin that runs tests on an event loop."""

from tests.plugin.conftest import NOTES, RunPytest, passed

# What each of these tests sees is what it has done itself.
STEPS = """
import asyncio
import pytest
from models import notes
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

COUNT = select(func.count()).select_from(notes)

async def add_note(session, title):
    # As an application's code does it.
    session.info["loop"] = asyncio.get_running_loop()
    await session.execute(insert(notes).values(title=title))
    await session.commit()

async def commits_and_goes_on(session):
    assert await session.scalar(COUNT) == 0
    await add_note(session, "first")
    with pytest.raises(IntegrityError):
        await add_note(session, "first")
    await session.rollback()
    assert await session.scalar(COUNT) == 1
    await add_note(session, "second")
    await session.rollback()
    assert await session.scalar(COUNT) == 2

async def leaves_it_failed(session):
    assert await session.scalar(COUNT) == 0
    with pytest.raises(IntegrityError):
        for _ in range(2):
            await session.execute(insert(notes).values(title="twice"))
"""

FIXTURE = """
import pytest_asyncio
from steps import *

@pytest_asyncio.fixture
async def noted(dbops_session):
    await add_note(dbops_session, "from a fixture")
    return dbops_session
"""


def test_automatic_mode_runs_each_session_on_its_tests_loop(
    run_pytest: RunPytest,
) -> None:
    ini = """
    [pytest]
    asyncio_mode = auto
    asyncio_default_fixture_loop_scope = session
    asyncio_default_test_loop_scope = session
    """
    tests = """
    async def test_one(dbops_session):
        await commits_and_goes_on(dbops_session)

    async def test_two(dbops_session):
        await leaves_it_failed(dbops_session)

    async def test_three(noted):
        assert await noted.scalar(COUNT) == 1
        assert noted.info["loop"] is asyncio.get_running_loop()

    @pytest.mark.asyncio(loop_scope="function")
    async def test_four(dbops_session):
        await commits_and_goes_on(dbops_session)

    @pytest.mark.asyncio(loop_scope="module")
    async def test_five(dbops_session):
        await commits_and_goes_on(dbops_session)

    @pytest.mark.asyncio(loop_scope="class")
    class TestInAClass:
        async def test_six(self, dbops_session):
            await commits_and_goes_on(dbops_session)

        async def test_seven(self, dbops_session):
            await commits_and_goes_on(dbops_session)
    """
    files = {"steps.py": STEPS, "test_it.py": FIXTURE + _flat(tests)}
    passed(run_pytest({**NOTES, **files, "pytest.ini": ini}), 7)


def test_strict_mode_and_anyio_work_side_by_side(run_pytest: RunPytest) -> None:
    tests = """
    @pytest.mark.asyncio
    async def test_one(dbops_session):
        await commits_and_goes_on(dbops_session)

    @pytest.mark.asyncio
    async def test_two(noted):
        assert await noted.scalar(COUNT) == 1

    @pytest.mark.anyio
    async def test_three(dbops_session):
        await commits_and_goes_on(dbops_session)

    @pytest.mark.anyio
    async def test_four(dbops_session):
        await leaves_it_failed(dbops_session)

    @pytest.fixture
    async def added(dbops_session):
        await add_note(dbops_session, "from a fixture")
        yield dbops_session
        assert await dbops_session.scalar(COUNT) == 1

    @pytest.mark.anyio
    async def test_five(added):
        assert await added.scalar(COUNT) == 1
        assert added.info["loop"] is asyncio.get_running_loop()
    """
    files = {**NOTES, "steps.py": STEPS, "test_it.py": FIXTURE + _flat(tests)}
    passed(run_pytest(files), 5)


def test_anyio_is_enough(run_pytest: RunPytest) -> None:
    tests = """
    from steps import *

    @pytest.mark.anyio
    async def test_one(dbops_session):
        await commits_and_goes_on(dbops_session)

    @pytest.mark.anyio
    async def test_two(dbops_database):
        async with dbops_database.database() as database:
            async with database.writer() as session:
                await add_note(session, "kept")
            async with database.reader(after=await database.token()) as session:
                assert await session.scalar(COUNT) == 1

    @pytest.mark.anyio
    @pytest.mark.parametrize("anyio_backend", ["elsewhere"])
    async def test_three(dbops_session):
        pass
    """
    files = {**NOTES, "steps.py": STEPS, "test_it.py": _flat(tests)}
    ran = run_pytest(files, "-p", "no:asyncio")
    assert "2 passed, 1 error" in ran.out, ran.out
    assert "this test runs on elsewhere" in ran.out
    assert "hint: let the fixture anyio_backend return 'asyncio'" in ran.out


def test_without_either_the_other_fixtures_still_serve(run_pytest: RunPytest) -> None:
    tests = """
    import asyncio
    import pytest
    from dbops import Database, connect

    async def used(database):
        async with database.database() as opened, opened.reader() as session:
            return (await session.connection()).engine is not None

    def test_one(dbops_database):
        assert asyncio.run(used(dbops_database))

    def test_two(dbops_pair):
        assert dbops_pair.writer != dbops_pair.reader

    def test_three(dbops_session):
        pass
    """
    files = {**NOTES, "test_it.py": tests}
    ran = run_pytest(files, "-p", "no:asyncio", "-p", "no:anyio")
    assert "2 passed, 1 error" in ran.out, ran.out
    assert "dbops_session is for tests that pytest-asyncio or anyio runs" in ran.out
    assert "pytest.mark.asyncio" in ran.out
    assert "Traceback" not in ran.out


def _flat(text: str) -> str:
    return "".join(line.removeprefix("    ") for line in text.splitlines(keepends=True))
