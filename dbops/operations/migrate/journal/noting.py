"""Each revision is written down in its own transaction."""

from datetime import UTC, datetime, timedelta

from alembic.runtime.migration import MigrationInfo
from sqlalchemy import Connection

from dbops.operations.migrate.journal.record import Direction, note
from dbops.operations.migrate.run import Leg
from dbops.operations.migrate.step_in import Applied


def noting(then: Applied | None) -> Applied:
    """Return what writes a revision down, after `then` was called.

    Args:
        then: What else is to be called; None for nothing.
    """

    def noted(
        connection: Connection, leg: Leg, step: MigrationInfo, duration_ms: float
    ) -> None:
        if then is not None:
            then(connection, leg, step, duration_ms)
        done = leg.applied[-1]
        way: Direction = "upgrade" if step.is_upgrade else "downgrade"
        note(
            connection,
            revision=done.revision,
            message=done.message,
            direction="stamp" if step.is_stamp else way,
            before=leg.came_from,
            after=leg.expected,
            started_at=datetime.now(UTC) - timedelta(milliseconds=duration_ms),
            duration_ms=duration_ms,
            version_table=leg.version_table,
        )

    return noted
