"""How does a new database become what the project's code needs?"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dbops.engine.connect import Connectors
from dbops.errors import DbopsError, RefusedError, UsageError
from dbops.integrations.testing.database import PairDatabase
from dbops.integrations.testing.thread import LoopThread
from dbops.settings.environment import variable

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData

    from dbops.operations.migrate.session import Session


def name_of(template: object) -> str:
    """Return the name of the database that `dbops_template` has returned.

    Raises:
        UsageError: If that is none.
    """
    if isinstance(template, PairDatabase):
        return template.name
    raise UsageError(
        f"the fixture dbops_template returned {_kind(template)}",
        hint="let its override ask for dbops_template, and return that",
    )


def prepare(thread: LoopThread, database: PairDatabase, project: object) -> None:
    """Migrate a new database, or create its tables.

    Args:
        thread: Where to.
        database: Which one.
        project: The path of an Alembic configuration, a MetaData or what has one;
            None leaves the database empty.

    Raises:
        UsageError: If the project is none of these, or there are no revisions.
        RefusedError: If its env.py goes to another database.
        DbopsError: As `migrate` and `create_tables`.
    """
    if project is None:
        return
    # What env.py says itself must not lead anywhere else.
    connectors = Connectors(database.writer_settings().bound())
    if isinstance(project, str | Path):
        with _some_url(database):
            thread.call(_migrate(connectors, str(project), database.name))
    else:
        thread.call(_create_tables(connectors, _metadata(project)))


async def _migrate(connectors: Connectors, config_file: str, name: str) -> None:
    from dbops.operations.migrate.apply import Options  # noqa: PLC0415 # Alembic
    from dbops.operations.migrate.project import Project  # noqa: PLC0415 # same
    from dbops.operations.migrate.upgrade import migrate  # noqa: PLC0415 # same

    def guard(_connection: "Connection", session: "Session") -> DbopsError | None:
        if session.database == name:
            return None
        return RefusedError(
            f"env.py connects to the database {session.database!r} of its own, and not "
            "to the one of the tests: nothing was migrated",
            hint="let it take its connection from sqlalchemy.url or from "
            "config.attributes['connection'], without creator=",
            phase="migrate",
        )

    settings = connectors.settings
    project = Project(
        config_file, section=settings.alembic_section, x_arguments=settings.alembic_x
    )
    migrated = await migrate(connectors, project, "heads", Options(guard=guard))
    if not migrated.after:
        raise UsageError(
            f"{config_file} leads to no revisions",
            hint="look at script_location and version_locations, or let the fixture "
            "dbops_project return None for empty databases",
        )


async def _create_tables(connectors: Connectors, metadata: "MetaData") -> None:
    from dbops.operations.create_tables import create_tables  # noqa: PLC0415 # Alembic's half

    await create_tables(connectors, metadata)


def _metadata(project: Any) -> "MetaData":  # noqa: ANN401 # the user's own
    from sqlalchemy import MetaData  # noqa: PLC0415 # not for everybody

    found = getattr(project, "metadata", project)
    if isinstance(found, MetaData):
        return found
    raise UsageError(
        f"the fixture dbops_project returned {_kind(project)}",
        hint="let it return the path of an alembic.ini, a MetaData or None",
    )


def _kind(returned: object) -> str:
    return (
        "None" if returned is None else f"an object of type {type(returned).__name__}"
    )


@contextmanager
def _some_url(database: PairDatabase) -> Generator[None]:
    """Let an env.py that insists on DATABASE_URL find one where there is none.

    It is led to the new database whatever that says. The application's settings may
    be loaded here, and stay loaded: they must not lead to what the clones are made of.
    """
    with pytest.MonkeyPatch.context() as patch:
        if variable("DATABASE_URL") is None:
            elsewhere = database.writer.with_database("postgres")
            patch.setenv("DATABASE_URL", elsewhere.url(show_password=True))
        yield
