"""Has the reader followed what was applied?"""

from collections.abc import Callable

from dbops.engine.connect import Connectors
from dbops.errors import DbopsError
from dbops.operations.migrate.migrated import Migrated
from dbops.operations.migrate.run import Leg
from dbops.operations.replica import Version, until_replayed


async def followed(
    connectors: Connectors,
    migrated: Migrated,
    leg: Leg,
    *,
    limit_s: float,
    on_progress: Callable[[str], None],
) -> Migrated:
    """Wait until the reader has replayed what was applied to the writer.

    Args:
        connectors: How to reach both (roles `writer` and `reader`).
        migrated: What was applied.
        leg: Where.
        limit_s: How long, in seconds.
        on_progress: Told how much is missing.

    Raises:
        DbopsError: As `until_replayed`; it says that the revisions are applied.
    """
    schema, _, table = leg.version_table.rpartition(".")

    async def version() -> Version:
        return Version(migrated.after, table, schema or None)

    try:
        found = await until_replayed(
            connectors.connector("writer"),
            connectors.connector("reader"),
            limit_s=limit_s,
            on_progress=lambda missing: on_progress(
                f"the reader lacks {missing} bytes"
            ),
            version=version,
        )
    except DbopsError as error:
        raise error.retold(
            f"the revisions are applied, and the reader is not there yet: "
            f"{error.message}",
            phase="replica",
        ) from error
    waited_ms = round(found.waited_s * 1000, 3)
    return migrated.model_copy(update={"replica_wait_ms": waited_ms})
