"""How is everything set up for a rehearsal?"""

from collections.abc import Callable
from dataclasses import dataclass

from dbops.engine.connect import Connector, Connectors
from dbops.errors import ConfigError, RefusedError
from dbops.local.state import Pair
from dbops.operations.migrate.project import Project
from dbops.operations.rehearse.copy import (
    copied_database,
    empty_database,
    fill,
    put_version,
    settings_for,
)
from dbops.operations.rehearse.dump import schema_of
from dbops.operations.rehearse.leads import leads_of, wanted_by
from dbops.operations.rehearse.original import (
    Original,
    original,
    reading,
    version_of,
)
from dbops.operations.rehearse.watch import IDENTITY
from dbops.settings import Settings

_PLACES = ("database_url", "database_migration_url", "db_host", "db_secret_id")


@dataclass(frozen=True, slots=True)
class Stage:
    """The copy, ready to be worked on."""

    connectors: Connectors
    """Lead to the copy."""
    version: str
    """Of the throw-away server."""
    original: Original | None
    """None where nothing is configured."""
    real: Connector | None
    """Leads to the original."""
    before: tuple[str, ...]
    """The original's revisions."""


async def stage_for(
    connectors: Connectors,
    project: Project,
    pair: Pair,
    on_progress: Callable[[str], None],
) -> Stage:
    """Make the copy, and find out what it is a copy of.

    Args:
        connectors: How to reach the real database (role `migration`).
        project: Whose env.py.
        pair: The throw-away server.
        on_progress: Told what is done.

    Raises:
        DbopsError: As `rehearse`.
    """
    settings, place = connectors.settings, pair.writer
    empty = Connectors(settings_for(settings, await empty_database(settings, place)))
    wanted = await wanted_by(empty, project)
    if wanted is None and not _is_configured(settings):
        on_progress("no server is configured: the rehearsal starts from nothing")
        await leads_of(empty, project)
        return Stage(empty, pair.server_version, None, None, ())
    if wanted is None or settings.is_bound:
        real = connectors.connector("migration")
    else:
        real = connectors.connector_to(wanted, role="migration")
    async with reading(real) as session:
        known = await original(session)
        _check_version(known, pair)
        on_progress(
            f"copying the schema of {known.database} without its rows: times are those "
            "of empty tables, and a step that changes rows finds none"
        )
        script = await schema_of(known, settings.pg_bin, settings.ddl_lock_timeout)
        copy = await copied_database(settings, place, known)
        await fill(settings, copy, script)
        here = Connectors(settings_for(settings, copy))
        leads = await leads_of(here, project)
        if leads.endpoint != wanted:
            raise RefusedError(
                "env.py leads to another database each time it is asked",
                hint="let it choose by its configuration or by -x",
                phase="rehearse",
            )
        version = await version_of(session, leads)
    if version is not None:
        await put_version(settings, copy, version)
    before = version.revisions if version else ()
    return Stage(here, pair.server_version, known, real, before)


async def identity(connectors: Connectors) -> str:
    """Return what IDENTITY says where `connectors` lead to.

    Raises:
        DbopsError: As `Connector.session`.
    """
    async with connectors.connector("migration").session() as connection:
        found: str = await connection.fetchval(IDENTITY)
        return found


def _is_configured(settings: Settings) -> bool:
    return any(getattr(settings, name) is not None for name in _PLACES)


def _check_version(known: Original, pair: Pair) -> None:
    """Refuse to copy to an older server: it need not know what it is told.

    Raises:
        ConfigError: If the throw-away server is older.
    """
    if int(pair.server_version.partition(".")[0]) < known.major:
        raise ConfigError(
            f"the PostgreSQL {pair.server_version} here is older than the server's "
            f"{known.version}",
            hint="pip install -U 'dbops[local]', or set DBOPS_PG_BIN to newer programs",
            phase="copy",
        )
