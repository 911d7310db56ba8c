"""A real writer and standby for the session, a database for each test."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from dbops.endpoint import Driver, Endpoint
from dbops.engine.connect import Connectors, connect
from dbops.errors import DbopsError
from dbops.local.folders import cache_home
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.settings import Settings, load_settings
from tests.warm import LIBRARIES, SCHEMA_LIBRARIES, Order, Warm

_OURS = ("DATABASE_", "DB_", "DBOPS_", "AWS_", "PG", "SQLALCHEMY_", "SUPERUSER_")


@pytest.fixture(scope="session", autouse=True)
def _no_ambient_settings(
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[None]:
    """No test sees what the developer's environment or folder configures."""
    # The servers' account cannot look into pytest's own folders.
    cache = Path(tempfile.mkdtemp(prefix="dbops-tests-"))
    cache.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_OURS):
                patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("DBOPS_CACHE_DIR", str(cache))
        patch.chdir(tmp_path_factory.mktemp("cwd"))
        yield
    shutil.rmtree(cache, ignore_errors=True)


def missing(what: str) -> None:
    """Skip a test whose real part is missing here; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have what this test needs: {what}")
    pytest.skip(f"this machine lacks {what}")


def installed_postgresql() -> Path:
    """Return the programs of the system's own PostgreSQL, 15 or newer."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        missing("an installed PostgreSQL (Debian's package postgresql)")
    return found[-1].parent


@pytest.fixture(scope="session")
async def pair() -> AsyncGenerator[Pair]:
    """A writer and a streaming standby, for the whole session."""
    async with throwaway(settings={"max_connections": "200"}) as pair:
        yield pair


@dataclass(frozen=True)
class Served:
    """A database of its own on the session's writer and standby."""

    name: str
    writer: Endpoint
    reader: Endpoint
    driver: Driver = "asyncpg"
    """What the URLs of its settings name."""

    @property
    def environment(self) -> dict[str, str]:
        """The settings that lead here."""
        return {
            "DATABASE_URL": self._driven(self.writer.url(show_password=True)),
            "DATABASE_READER_URL": self._driven(self.reader.url(show_password=True)),
        }

    def settings(self, **flags: object) -> Settings:
        """Return settings that lead here."""
        said = {
            "database_url": self.environment["DATABASE_URL"],
            "database_reader_url": self.environment["DATABASE_READER_URL"],
            **flags,
        }
        for name, value in said.items():
            if isinstance(value, str):
                said[name] = self._driven(value)
        return load_settings(flags=said)

    def _driven(self, said: str) -> str:
        """Name the driver where nothing means asyncpg."""
        if self.driver == "asyncpg":
            return said
        return said.replace("postgresql:", f"postgresql+{self.driver}:")

    def connectors(self, **flags: object) -> Connectors:
        """Return how to connect here."""
        return Connectors(self.settings(**flags))


def new_name(prefix: str = "t") -> str:
    """Return a database name that nothing else has."""
    return f"{prefix}_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def driver() -> Driver:
    """Return what the settings name, where a test does not try both."""
    return "asyncpg"


both_drivers = pytest.mark.parametrize("driver", get_args(Driver))


@pytest.fixture
async def served(pair: Pair, driver: Driver) -> AsyncGenerator[Served]:
    """An empty database, on both servers, dropped after the test."""
    name = new_name()
    admin = await connect(pair.writer)
    try:
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        served = Served(
            name,
            pair.writer.with_database(name),
            pair.reader.with_database(name),
            driver,
        )
        await until_reachable(served.reader)
        yield served
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await admin.close()


async def until_reachable(endpoint: Endpoint, *, limit_s: float = 30.0) -> None:
    """Poll until `endpoint` can be connected to."""
    async with asyncio.timeout(limit_s):
        while True:
            try:
                await (await connect(endpoint)).close()
            except DbopsError:
                await asyncio.sleep(0.02)
            else:
                return


async def until_table(endpoint: Endpoint, table: str, *, limit_s: float = 10.0) -> None:
    """Poll until a table is there, as on a standby that is on its way."""
    await until_reachable(endpoint)
    connection = await connect(endpoint)
    try:
        async with asyncio.timeout(limit_s):
            while await connection.fetchval("SELECT to_regclass($1)", table) is None:
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


@dataclass(frozen=True)
class Ran:
    """How a dbops process ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 # any document
        """Stdout, which is one JSON document."""
        return json.loads(self.out)


RunDbops = Callable[..., Ran]
StartWarm = Callable[[tuple[str, ...]], Warm]

_ABOUT_REVISIONS = {
    "check",
    "create-tables",
    "history",
    "init",
    "lint",
    "migrate",
    "report",
    "revision",
    "rollback",
    "setup",
    "stamp",
    "status",
}


@pytest.fixture
def cache_dir() -> Generator[Path]:
    """Return an empty cache folder that the servers' account can reach.

    pytest's own folders are closed to everybody but us.
    """
    memory = Path("/dev/shm")  # noqa: S108 # a private folder in it, for speed
    place = memory if os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="dbops-test-", dir=place))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def template(cache_dir: Path) -> None:
    """Let the cache folder have what initdb makes, as after the first time."""
    templates = cache_home(None) / "templates"
    templates.mkdir(exist_ok=True)
    (cache_dir / "templates").symlink_to(templates)


@pytest.fixture(scope="session")
def warm() -> Generator[StartWarm]:
    """Return a process that forks for a program, once its libraries are imported."""
    started: dict[tuple[str, ...], Warm] = {}

    def with_libraries(libraries: tuple[str, ...]) -> Warm:
        if libraries not in started:
            started[libraries] = Warm(libraries, clean_environment(Path(os.devnull)))
        return started[libraries]

    yield with_libraries
    for it in started.values():
        it.close()


@pytest.fixture
def dbops(tmp_path: Path, cache_dir: Path, warm: StartWarm) -> RunDbops:
    """Run the command line as its users do: a process, an environment, a folder."""

    def run(
        *words: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout_s: float = 60,
    ) -> Ran:
        whole = {**clean_environment(cache_dir), **(env or {})}
        is_schema = bool(words) and words[0] in _ABOUT_REVISIONS
        libraries = SCHEMA_LIBRARIES if is_schema else LIBRARIES
        order = Order(words, whole, str(cwd or tmp_path))
        return carried_out(order, warm, libraries, timeout_s)

    return run


def carried_out(
    order: Order, warm: StartWarm, libraries: tuple[str, ...], timeout_s: float = 60
) -> Ran:
    """Run a program in a process that is forked, or started where none can be."""
    if sys.platform == "linux":
        ready = warm(libraries)
        if ready.takes(order.env):
            return Ran(*ready.run(order, timeout_s))
    program = [sys.executable, "-m", "dbops"]
    if order.script is not None:
        program = [str(Path(sys.executable).with_name(order.script))]
    done = subprocess.run(
        [*program, *order.words],
        env=dict(order.env),
        cwd=order.cwd,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def clean_environment(cache: Path) -> dict[str, str]:
    """Return the environment without settings, and with an empty cache folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
    return {**kept, "DBOPS_CACHE_DIR": str(cache), "AWS_EC2_METADATA_DISABLED": "true"}


def pytest_configure(config: pytest.Config) -> None:
    """Let several processes take files in our order, not by their number of tests."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what takes no time last, so that no process waits long for the others."""
    short = Path(__file__).with_name("unit")
    items.sort(key=lambda item: item.path.is_relative_to(short))


# Skips that say something about the account, and nothing about a missing real part.
_ABOUT_THE_ACCOUNT = (
    "not for root",
    "only root changes accounts",
    "user namespaces are not allowed here",
    "this account may not look into the socket's folder",
)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run in which a test that needs a real part was skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    for report in reporter.stats.get("skipped", []):
        reason = str(report.longrepr)
        if not any(known in reason for known in _ABOUT_THE_ACCOUNT):
            reporter.write_line(f"CI may not skip this: {reason}", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
