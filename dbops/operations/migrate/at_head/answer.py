"""Is there nothing to migrate? Answered without importing Alembic or SQLAlchemy.

Most runs of `dbops migrate` find nothing to do: the project's text and one question to
the server tell so, where both are ordinary. Whatever is not is left to Alembic. The
revisions, the models and env.py are not run: a file that cannot be imported any more
is not noticed while there is nothing to do.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import SecretStr

from dbops.engine.connect import Connector, Connectors
from dbops.errors import DbopsError
from dbops.operations.migrate.at_head.config import read_config
from dbops.operations.migrate.at_head.connector import env_connector, own_url
from dbops.operations.migrate.at_head.env import Leads, read_env
from dbops.operations.migrate.at_head.heads import read_heads
from dbops.operations.migrate.migrated import Migrated
from dbops.settings.environment import is_libpq_told_more

# The table is looked for as Alembic does: along the search_path. A standby, a pooler
# and something half-built are for the long way to judge.
# https://www.postgresql.org/docs/current/catalog-pg-index.html
# https://www.postgresql.org/docs/current/catalog-pg-constraint.html (conenforced is
# there from 18 on)
QUESTION = """
    SELECT ARRAY(SELECT version_num::text FROM alembic_version),
           pg_catalog.pg_backend_pid(),
           pg_catalog.pg_is_in_recovery(),
           EXISTS (SELECT FROM pg_catalog.pg_index WHERE NOT indisvalid),
           EXISTS (SELECT FROM pg_catalog.pg_constraint k
                    WHERE NOT k.convalidated
                      AND pg_catalog.to_jsonb(k) ->> 'conenforced'
                          IS DISTINCT FROM 'false')
"""


class Heads(NamedTuple):
    """A project's newest revisions, and where it looks for them."""

    heads: tuple[str, ...]
    """The revisions that none follows, sorted."""
    rows: tuple[str, ...]
    """What the version table of a database at head holds, sorted: not the heads that
    others depend on."""
    leads: Leads
    """Which database env.py connects to."""
    url: SecretStr | None
    """The database that the configuration itself names; None when it names none."""

    def are_meant_by(self, revision: str) -> bool:
        """Tell whether `revision` means to go as far as there is."""
        only = self.heads[0] if len(self.heads) == 1 else None
        if revision == "heads":
            return bool(self.heads)
        return only is not None and revision in ("head", only)


async def at_head(
    connectors: Connectors,
    config_file: str | None,
    *,
    section: str = "alembic",
    x_arguments: Sequence[str] = (),
    revision: str = "head",
) -> Migrated | None:
    """Tell whether a database has every revision of a project already.

    Args:
        connectors: How to reach the database (role `migration`).
        config_file: As `Project` takes it.
        section: The section of the ini file.
        x_arguments: What env.py is told.
        revision: Where to.

    Returns:
        What `migrate` returns when nothing is pending; None when something is, or
        when Alembic has to be asked.

    Raises:
        DbopsError: As `Connector.__call__`.
    """
    heads = heads_of(config_file, section=section, x_arguments=x_arguments)
    return await has_all(connectors, heads, revision)


async def has_all(
    connectors: Connectors, heads: Heads | None, revision: str
) -> Migrated | None:
    """As `at_head`, for a project that has been read already.

    Args:
        connectors: How to reach the database (role `migration`).
        heads: The project, of `heads_of`.
        revision: Where to.

    Raises:
        DbopsError: As `Connector.__call__`.
    """
    if heads is None or not heads.are_meant_by(revision):
        return None
    connector = connector_to(heads, connectors)
    if connector is None or not await is_at_head(connector, heads):
        return None
    return Migrated.nothing_pending(heads.rows)


def heads_of(
    config_file: str | None,
    *,
    section: str = "alembic",
    x_arguments: Sequence[str] = (),
) -> Heads | None:
    """Read a project's newest revisions; None when Alembic has to be asked.

    Args:
        config_file: As `Project` takes it.
        section: The section of the ini file.
        x_arguments: What env.py is told: with any, it is asked itself.
    """
    if x_arguments:
        return None
    try:
        config = read_config(config_file, section)
        leads = read_env(config.env_file.read_bytes())
        url = own_url(config.options)
        found = read_heads(config.version_folders, is_recursive=config.is_recursive)
    except Exception:  # noqa: BLE001 # whatever is odd about it, Alembic says so
        return None
    return Heads(found.heads, found.rows, leads, url)


def connector_to(heads: Heads, connectors: Connectors) -> Connector | None:
    """Return how to reach the database that env.py leads to.

    Args:
        heads: The project.
        connectors: How dbops' settings reach it.

    Returns:
        A connector; None when Alembic has to be asked.

    Raises:
        ConfigError: If nothing says where the database is.
    """
    if heads.leads is not Leads.TO_THE_LENT and is_libpq_told_more():
        return None
    if connectors.settings.is_bound:
        return connectors.connector("migration")
    return env_connector(heads.leads, heads.url, connectors)


async def is_at_head(connector: Connector, heads: Heads) -> bool:
    """Ask a database whether it has every revision, in one round trip.

    Args:
        connector: How to reach the database, of `connector_to`.
        heads: The project.

    Returns:
        True when it has, and nothing speaks for a closer look; False means only that
        Alembic has to be asked.

    Raises:
        DbopsError: As `Connector.__call__`; what goes wrong after that is a False.
    """
    try:
        async with connector.session() as connection:
            row = await connection.fetchrow(QUESTION)
            server_pid = connection.get_server_pid()
    except DbopsError as error:
        if error.phase == "query":
            return False  # no version table, or none that we may read
        raise
    assert row is not None  # the query has no FROM  # noqa: S101
    rows, pid, *doubts = row
    is_same = len(rows) == len(heads.rows) and set(rows) == set(heads.rows)
    return is_same and pid == server_pid and not any(doubts)
