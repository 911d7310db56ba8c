"""For an Alembic env.py: run the revisions on the connection that dbops lends.

A whole env.py is:

    from dbops.integrations.alembic import run_migrations
    from myapp.models import Base

    run_migrations(target_metadata=Base.metadata)

It connects as dbops does: where `dbops migrate` says, or, run by `alembic` itself, from
dbops' settings.
"""

import asyncio
from typing import Any

from alembic import context
from sqlalchemy import Connection, MetaData

from dbops.engine.connect import Connectors
from dbops.engine.ddl import ddl_connection
from dbops.operations.migrate.lending import CONNECTOR
from dbops.settings import load_settings


def run_migrations(target_metadata: MetaData | None = None, **options: Any) -> None:  # noqa: ANN401 # Alembic's own
    """Run what Alembic was asked for; call it at the end of env.py.

    Args:
        target_metadata: The models that `--autogenerate` and `check` compare with.
        options: Whatever `context.configure` takes, such as `version_table`.

    Raises:
        DbopsError: If Alembic is run by itself and the database cannot be reached.
    """
    options = {
        "target_metadata": target_metadata,
        "transaction_per_migration": True,
        **options,
    }
    if context.is_offline_mode():
        # As Alembic's own templates: SQL that a person can run.
        rendering = {"literal_binds": True, "dialect_opts": {"paramstyle": "named"}}
        context.configure(dialect_name="postgresql", **{**rendering, **options})
        with context.begin_transaction():
            context.run_migrations()
        return
    # Alembic and dbops alike run env.py in a thread without a loop.
    asyncio.run(_on_own_connection(options))  # noqa: TID251


async def _on_own_connection(options: dict[str, Any]) -> None:
    connector = context.config.attributes.get(CONNECTOR)
    if connector is None:  # Alembic's own command line
        connector = Connectors(load_settings()).connector("migration", is_ddl=True)
    async with ddl_connection(connector) as connection:
        await connection.run_sync(_run, options)


def _run(connection: Connection, options: dict[str, Any]) -> None:
    context.configure(connection=connection, **options)
    with context.begin_transaction():
        context.run_migrations()
