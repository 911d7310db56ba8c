"""What did a revision leave behind that failed outside of its transaction?"""

from dbops.engine.connect import Connectors
from dbops.errors import DbopsError
from dbops.operations.migrate.proof import INVALID_INDEXES
from dbops.operations.migrate.run import Run


async def with_leftovers(
    connectors: Connectors, run: Run, error: DbopsError
) -> DbopsError:
    """Return the error of a failed run, with the invalid index that it has left.

    A CREATE INDEX CONCURRENTLY that fails leaves one, and fails again because of it.

    Args:
        connectors: How to reach the database where env.py's engine does not tell.
        run: The run that failed.
        error: Why.
    """
    if run.failing is None or run.leg.is_rolled_back:
        return error
    try:
        async with run.leg.beside(connectors).session() as connection:
            rows = await connection.fetch(INVALID_INDEXES)
    except DbopsError:
        return error  # what has failed first is what counts
    if not rows:
        return error
    names = ", ".join(row["name"] for row in rows)
    return error.retold(
        f"{error.message}; invalid indexes are there: {names}",
        hint="run dbops migrate again after "
        + "; ".join(f"DROP INDEX CONCURRENTLY {row['name']}" for row in rows),
    )
