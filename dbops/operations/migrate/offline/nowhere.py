"""Let env.py run where no server is: its engines lead nowhere, and no file is written.

Rendering SQL needs a dialect and no database. Many an env.py connects all the same, or
builds an engine before it asks whether it is offline.
"""

import builtins
import importlib.util
import io
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from dbops.operations.migrate.project import Project

# What Alembic's own templates put where the URL belongs.
_PLACEHOLDER = "driver://"
_URL = "sqlalchemy.url"


class NoDatabaseError(Exception):
    """A question was asked where nobody answers."""


class _Nowhere:
    """A driver's connection without a server: agrees to everything, answers nothing."""

    def cursor(self, *_: object, **__: object) -> NoReturn:
        raise NoDatabaseError("it asks the database, and SQL is rendered without one")

    def __call__(self, *_: object, **__: object) -> "_Nowhere":
        return self

    def __getattr__(self, name: str) -> "_Nowhere":
        if name.startswith("__"):
            raise AttributeError(name)
        return self


@contextmanager
def nowhere(project: Project) -> Generator[Connection]:
    """Cut this thread's engines off for the block; yields such a connection.

    A project without a URL gets one that names a driver and nothing else.
    """
    ours, theirs = threading.get_ident(), Engine.connect

    def connect(engine: Engine) -> Connection:
        if threading.get_ident() != ours:
            return theirs(engine)
        return Connection(engine, connection=_Nowhere())  # type: ignore[arg-type] # no more than is needed

    Engine.connect = connect  # type: ignore[method-assign, assignment] # put back below
    try:
        with _url(project):
            yield create_engine("postgresql+asyncpg://").connect()
    finally:
        Engine.connect = theirs  # type: ignore[method-assign] # as it was


def dialect_of(connection: Any, url: Any, name: str | None) -> str:  # noqa: ANN401 # env.py's
    """Return the dialect that env.py means, where it is one of PostgreSQL's.

    Drivers differ in what they render, so that env.py's own is kept.
    """
    try:
        if connection is not None:
            name = f"{connection.dialect.name}+{connection.dialect.driver}"
        elif url is not None:
            name = make_url(url).drivername
        dialect = make_url(f"{name}://").get_dialect()
    except (ArgumentError, NoSuchModuleError):
        return "postgresql"
    return f"{name}" if dialect.name == "postgresql" else "postgresql"


def execute_env(path: Path) -> None:
    """Execute env.py as Alembic does, but let its open() write no file."""

    def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 # as open
        if set(mode) & set("wax+"):
            return io.BytesIO() if "b" in mode else _Unwritten(str(file))
        return builtins.open(file, mode, *args, **kwargs)  # noqa: PTH123 # env.py's call

    spec = importlib.util.spec_from_file_location("env_py", path)
    assert spec is not None  # it is a .py file  # noqa: S101
    assert spec.loader is not None  # same  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    module.__dict__["open"] = opened
    spec.loader.exec_module(module)


class _Unwritten(io.StringIO):
    """Stands for a file that env.py wants to write; there will be none."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


@contextmanager
def _url(project: Project) -> Generator[None]:
    config, section = project.config, project.config.config_ini_section
    before = config.get_main_option(_URL)
    if before and not before.startswith(_PLACEHOLDER):
        yield
        return
    env = Path(project.script.env_py_location)
    source = env.read_text(encoding="utf-8", errors="replace")
    driver = "+asyncpg" if "async_engine" in source else ""
    config.set_main_option(_URL, f"postgresql{driver}://")
    try:
        yield
    finally:
        config.file_config.remove_option(section, _URL)
        if before:
            config.set_main_option(_URL, before.replace("%", "%%"))
