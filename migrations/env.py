"""Run the revisions on the connection that dbops lends; `alembic` itself works too."""

from dbops.integrations.alembic import run_migrations

# The MetaData of your models, for autogenerate: from myapp.models import metadata
target_metadata = None

run_migrations(target_metadata=target_metadata)
