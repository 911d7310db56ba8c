"""What a migration did; imported without Alembic, for whoever finds nothing to do."""

from dbops.results import Model, Result


class AppliedRevision(Model):
    """One revision that was applied."""

    revision: str
    """Its identifier."""
    message: str
    """The first line of its docstring."""
    duration_ms: float
    """How long its statements took, in milliseconds."""


class Migrated(Result):
    """What was applied, with the version read again afterwards."""

    before: tuple[str, ...]
    """The database's revisions before; empty for a new one."""
    after: tuple[str, ...]
    """Its revisions now, read over a fresh connection."""
    applied: tuple[AppliedRevision, ...]
    """What was applied, in order; empty when nothing was pending."""
    lock_wait_ms: float | None
    """How long other migrators were waited for; null when env.py opens its own
    connection, on which no lock is taken."""
    retries: int = 0
    """How often a revision was tried again."""
