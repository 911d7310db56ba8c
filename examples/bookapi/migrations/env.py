"""Run the revisions on the connection that dbops lends; `alembic` itself works too."""

from bookapi.models import Base
from dbops.integrations.alembic import run_migrations

run_migrations(target_metadata=Base.metadata)
