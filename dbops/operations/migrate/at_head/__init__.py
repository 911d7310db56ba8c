"""Is there nothing to migrate? Answered without importing Alembic or SQLAlchemy."""

from dbops.operations.migrate.at_head.answer import (
    Heads,
    at_head,
    connector_to,
    has_all,
    heads_of,
    is_at_head,
)

__all__ = ["Heads", "at_head", "connector_to", "has_all", "heads_of", "is_at_head"]
