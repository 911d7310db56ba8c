"""The fixtures of the plugin.

pytest reads this module at its start: what they need is imported when they are used.
"""

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING

import pytest

from dbops.integrations.testing.run import OPEN, keep_as

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from dbops.integrations.testing.database import PairDatabase
    from dbops.integrations.testing.databases import Databases
    from dbops.integrations.testing.shared import Shared
    from dbops.integrations.testing.thread import LoopThread
    from dbops.local.state import Pair
    from dbops.settings import Settings


@pytest.fixture(scope="session")
def _dbops_settings() -> "Settings":
    from dbops.integrations.testing.told import told  # noqa: PLC0415 # see above
    from dbops.settings import load_settings  # noqa: PLC0415 # same

    with told():
        return load_settings()


@pytest.fixture(scope="session")
def _dbops_thread() -> "Generator[LoopThread]":
    from dbops.integrations.testing.thread import LoopThread  # noqa: PLC0415 # see above
    from dbops.integrations.testing.told import told  # noqa: PLC0415 # same

    with told(), LoopThread() as thread:
        yield thread


@pytest.fixture(scope="session")
def dbops_pair(
    _dbops_thread: "LoopThread",
    _dbops_settings: "Settings",
    pytestconfig: pytest.Config,
) -> "Pair":
    """A PostgreSQL writer and a streaming standby, for the whole run.

    Each worker of pytest-xdist has its own. `writer` and `reader` are endpoints.
    """
    from dbops.integrations.testing.servers import servers  # noqa: PLC0415 # see above
    from dbops.integrations.testing.told import told  # noqa: PLC0415 # same

    name = keep_as(pytestconfig)
    with told():
        return _dbops_thread.enter(servers(_dbops_settings, keep_as=name))


@pytest.fixture(scope="session")
def dbops_project(_dbops_settings: "Settings", pytestconfig: pytest.Config) -> object:
    """What the databases are made for; override it to say so.

    Return the path of an alembic.ini (or of a pyproject.toml with `[tool.alembic]`), a
    SQLAlchemy MetaData or a declarative base, or None for empty databases. It is the
    Alembic configuration that the settings name, or else the one in pytest's rootdir,
    where a relative path begins too.
    """
    from dbops.integrations.testing.project import found_project  # noqa: PLC0415 # see above
    from dbops.integrations.testing.told import told  # noqa: PLC0415 # same

    with told():
        return found_project(_dbops_settings, pytestconfig.rootpath)


@pytest.fixture(scope="session")
def _dbops_databases(
    _dbops_thread: "LoopThread", dbops_pair: "Pair"
) -> "Generator[Databases]":
    from dbops.integrations.testing.databases import Databases  # noqa: PLC0415 # see above

    databases = Databases(_dbops_thread, dbops_pair)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def dbops_template(
    _dbops_databases: "Databases",
    _dbops_thread: "LoopThread",
    dbops_project: object,
    pytestconfig: pytest.Config,
) -> "Generator[PairDatabase]":
    """The database that the others are copies of: migrated once.

    Override it, and ask for it in the override, to put rows into it.
    """
    from dbops.integrations.testing.project import located  # noqa: PLC0415 # see above
    from dbops.integrations.testing.template import prepare  # noqa: PLC0415 # same
    from dbops.integrations.testing.told import told  # noqa: PLC0415 # same

    with told():
        project = located(dbops_project, pytestconfig.rootpath)
        database = _dbops_databases.create("template")
        prepare(_dbops_thread, database, project)
    yield database
    with told():
        _dbops_databases.discard(database)


@pytest.fixture
def dbops_database(
    _dbops_databases: "Databases",
    dbops_template: "PairDatabase",
    request: pytest.FixtureRequest,
) -> "Generator[PairDatabase]":
    """A migrated database of the test's own, on writer and standby.

    It is dropped after the test, unless its setup or its call fails: then the report
    names it, and `--dbops-keep` leaves it.
    """
    from dbops.integrations.testing.template import name_of  # noqa: PLC0415 # see above
    from dbops.integrations.testing.told import told  # noqa: PLC0415 # same

    stash = request.node.stash
    with told():
        database = _dbops_databases.create(request.node.name, name_of(dbops_template))
    stash[OPEN] = database
    yield database
    if stash.get(OPEN, None) is database:
        del stash[OPEN]
        with told():
            _dbops_databases.drop(database)


@pytest.fixture(scope="session")
def _dbops_shared(
    _dbops_databases: "Databases", dbops_template: "PairDatabase"
) -> "Generator[Shared]":
    from dbops.integrations.testing.shared import Shared  # noqa: PLC0415 # see above
    from dbops.integrations.testing.told import told  # noqa: PLC0415 # same

    shared = Shared(_dbops_databases, dbops_template)
    yield shared
    with told():
        shared.drop()


@pytest.fixture
async def _dbops_session_by_anyio(
    _dbops_shared: "Shared",
) -> "AsyncGenerator[AsyncSession]":
    from dbops.integrations.testing.session import rolled_back  # noqa: PLC0415 # see above
    from dbops.integrations.testing.told import told  # noqa: PLC0415 # same

    with told():
        async with rolled_back(_dbops_shared) as session:
            yield session


@pytest.fixture
def dbops_session(
    request: pytest.FixtureRequest,
    _dbops_shared: "Shared",  # before a fixture of the test's own stops the clock
) -> "AsyncSession":
    """An AsyncSession on the writer whose work is rolled back after the test.

    The code under test may commit. It shares its database with other tests, which do
    not see each other's rows; its sequences go on counting. For tests that
    pytest-asyncio or anyio runs.
    """
    from dbops.integrations.testing.runners import session_fixture  # noqa: PLC0415 # same
    from dbops.integrations.testing.told import told  # noqa: PLC0415 # see above

    with told():
        return request.getfixturevalue(session_fixture(request))  # type: ignore[no-any-return] # a name is all that pytest has
