"""Everything that a fresh environment needs, as often as you like."""

from collections.abc import Sequence

from sqlalchemy import MetaData
from typing_extensions import override

from dbops.engine.connect import Connectors
from dbops.operations.create_db import CreatedDatabase, create_db
from dbops.operations.create_tables import CreatedTables, create_tables
from dbops.operations.lag import Lag, lag, thresholds
from dbops.operations.migrate.migrated import Migrated
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.upgrade import migrate
from dbops.operations.ping import Ping, ping
from dbops.operations.wait import wait
from dbops.results import Checked, Measure, Problem, Result, worst

# A new database reaches the standby as fast as its creation is replayed.
REPLAY_LIMIT_S = 30.0


class Setup(Result):
    """The result of each step."""

    create_db: CreatedDatabase
    """The database."""
    migrate: Migrated | None = None
    """Its revisions; null when tables were asked for."""
    create_tables: CreatedTables | None = None
    """Its tables; null when it is migrated."""
    ping: Ping
    """Writer and reader."""
    lag: Lag | None = None
    """The reader against the writer; null without a reader."""

    @property
    @override
    def problem(self) -> Problem | None:
        return self.ping.problem or (self.lag.problem if self.lag else None)

    @override
    def checked(self) -> Sequence[Checked]:
        return [*self.ping.checked(), *(self.lag.checked() if self.lag else ())]

    @override
    def measures(self) -> Sequence[Measure]:
        return [*self.ping.measures(), *(self.lag.measures() if self.lag else ())]


async def setup(
    connectors: Connectors, database: str, schema: Project | MetaData
) -> Setup:
    """Create the database, migrate it (or create its tables), prove both servers.

    Args:
        connectors: How to reach every role.
        database: Which database.
        schema: An Alembic project to migrate, or the tables to create.

    Raises:
        DbopsError: The first step's that fails; the steps before it stay done.
    """
    settings = connectors.settings
    created = await create_db(
        connectors,
        database,
        owner=settings.owner,
        encoding=settings.encoding,
        locale=settings.locale,
        template=settings.template,
        extensions=settings.extensions,
    )
    migrated = tables = None
    if isinstance(schema, Project):
        migrated = await migrate(connectors, schema)
    else:
        tables = await create_tables(connectors, schema)
    writer = connectors.connector("writer")
    endpoints, behind = {"writer": writer}, None
    if settings.has_reader:
        reader = connectors.connector("reader")
        await wait(reader, "database", limit_s=REPLAY_LIMIT_S)
        limits = thresholds(settings.warn, settings.fail)
        behind = await lag(writer, reader, limits=limits)
        endpoints["reader"] = reader
    pinged = await ping(endpoints)  # type: ignore[arg-type] # both keys are roles
    results = [created, migrated, tables, pinged, behind]
    return Setup(
        status=worst(result.status for result in results if result is not None),
        create_db=created,
        migrate=migrated,
        create_tables=tables,
        ping=pinged,
        lag=behind,
    )
