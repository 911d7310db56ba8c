"""Where does a project keep its version, and what does it say on the writer?"""

from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from dbops.engine.connect import Connectors
from dbops.operations.migrate.environment import look
from dbops.operations.migrate.project import Project
from dbops.operations.replica import Version

# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CATALOG
SCHEMA = text("""
    SELECT n.nspname
      FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = pg_catalog.to_regclass(pg_catalog.quote_ident(:name))
""")


async def read_version(connectors: Connectors, project: Project) -> Version:
    """Read the version over a fresh connection, the way env.py says.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Whose version.

    Raises:
        DbopsError: As `look`.
    """
    seen: list[Version] = []

    def question(revisions: tuple[str, ...], context: MigrationContext) -> None:
        seen.append(version_of(revisions, context))

    await look(connectors, project, question)
    return seen[-1] if seen else Version(())


def version_of(revisions: tuple[str, ...], context: MigrationContext) -> Version:
    """Name the version table with its schema, as the context's session resolves it.

    Args:
        revisions: The rows of it.
        context: Alembic's; its connection is read with.
    """
    schema = context.version_table_schema
    if schema is None and context.connection is not None:
        found = context.connection.execute(SCHEMA, {"name": context.version_table})
        schema = found.scalar()
    return Version(revisions, context.version_table, schema)
