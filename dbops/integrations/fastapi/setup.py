"""What an application may do with its database before it serves anybody."""

from dbops.engine.database import Database
from dbops.errors import FailedError
from dbops.integrations.fastapi.lifespan import Setup
from dbops.integrations.fastapi.pinged import pinged
from dbops.results import Status


def prepared(
    *, create: bool = False, migrate: bool = False, ping: bool = False
) -> Setup:
    """Return a setup for `lifespan`; each step is idempotent, and none is the default.

    With many replicas, migrate in an init container or a job: this one runs in each,
    though one waits for the other.

    Args:
        create: Create the database unless it exists.
        migrate: Upgrade it to the heads of the Alembic project that the settings name.
        ping: Refuse to start unless writer and reader answer and are what they should.

    Returns:
        What `lifespan` awaits. It raises the `DbopsError` of the step that fails.
    """

    async def run(database: Database) -> None:
        if create:
            await _create(database)
        if migrate:
            await _migrate(database)
        if ping:
            await _ping(database)

    return run


async def _create(database: Database) -> None:
    from dbops.operations.create_db import create_db  # noqa: PLC0415 # not for everybody

    connectors = database.connectors
    endpoint = await connectors.connector("writer").endpoint()
    assert endpoint.database is not None  # a complete endpoint has one  # noqa: S101
    settings = database.settings
    await create_db(
        connectors,
        endpoint.database,
        owner=settings.owner,
        encoding=settings.encoding,
        locale=settings.locale,
        template=settings.template,
        extensions=settings.extensions,
    )


async def _migrate(database: Database) -> None:
    from dbops.operations.migrate.project import Project  # noqa: PLC0415 # Alembic
    from dbops.operations.migrate.upgrade import migrate  # noqa: PLC0415 # same

    settings = database.settings
    project = Project(
        settings.alembic_config,
        section=settings.alembic_section,
        x_arguments=settings.alembic_x,
    )
    await migrate(database.connectors, project, "heads")


async def _ping(database: Database) -> None:
    answer = await pinged(database)
    if answer.status in (Status.OK, Status.WARN):
        return
    problem = answer.problem
    raise FailedError(
        problem.message if problem else answer.summary,
        hint=problem.hint if problem else None,
        phase="ping",
    )
