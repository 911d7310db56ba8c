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


PAST_THE_SESSION = """
import asyncio
import pytest
from models import notes
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from steps import COUNT, add_note

@pytest.fixture(autouse=True)
async def nothing_is_there(dbops_session):
    assert await dbops_session.scalar(COUNT) == 0

async def test_commits_its_connection(dbops_session):
    await add_note(dbops_session, "stays")
    await (await dbops_session.connection()).commit()

async def test_says_commit(dbops_session):
    await add_note(dbops_session, "stays")
    await dbops_session.execute(text("COMMIT"))

@pytest.mark.parametrize("word", ["COMMIT", "ROLLBACK"])
async def test_writes_after_the_end(dbops_session, word):
    with pytest.raises(DBAPIError, match="read-only transaction"):
        await dbops_session.execute(text(word))
        await dbops_session.execute(insert(notes).values(title="too late"))

async def test_second_session(dbops_session):
    await add_note(dbops_session, "first")
    async with AsyncSession(dbops_session.bind) as second:
        await add_note(second, "second")
        await second.execute(insert(notes).values(title="third"))
        await second.rollback()
    assert await dbops_session.scalar(COUNT) == 2

async def test_leaves_a_task(dbops_session):
    await add_note(dbops_session, "nothing")
    lasting = dbops_session.execute(text("SELECT pg_sleep(30)"))
    task = asyncio.create_task(lasting)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    dbops_session.info["task"] = task
    await asyncio.sleep(0.1)

async def test_ends_its_own_server_process(dbops_session):
    await add_note(dbops_session, "nothing")
    ends = text("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(DBAPIError):
        await dbops_session.execute(ends)

async def test_closes_everything(dbops_session):
    await add_note(dbops_session, "nothing")
    await dbops_session.bind.close()

async def test_the_last():
    pass
"""


def test_nothing_stays_whatever_a_test_does_past_its_session(
    run_pytest: RunPytest,
) -> None:
    files = {"steps.py": STEPS, "test_it.py": PAST_THE_SESSION}
    ran = run_pytest({**NOTES, **files}, "--asyncio-mode=auto")
    # COMMIT alone is in no way kept from what it does.
    assert "9 passed, 3 errors" in ran.out, ran.out
    assert ran.out.count("dbops: the test has committed the transaction") == 3
    assert ran.out.count("hint: commit by session.commit()") == 3
    for test in ("commits_its_connection", "says_commit", "writes_after_the_end[COM"):
        assert f"ERROR at teardown of test_{test}" in ran.out
    assert "Traceback" not in ran.out + ran.err


def test_a_test_that_both_plugins_run_is_refused(run_pytest: RunPytest) -> None:
    tests = """
    import pytest

    @pytest.mark.anyio
    async def test_one(dbops_session):
        pass

    @pytest.mark.anyio
    async def test_two(dbops_database):
        pass
    """
    files = {**NOTES, "test_it.py": tests}
    ran = run_pytest(files, "--asyncio-mode=auto")
    assert "1 passed, 1 error" in ran.out, ran.out
    assert "dbops: dbops_session is for one event loop, and both" in ran.out
    assert "hint: set asyncio_mode = strict" in ran.out


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
