"""Which instances does an Aurora cluster have, and how far behind are they?

https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora_replica_status.html
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora_db_instance_identifier.html
"""

from typing import Any

from dbops.engine.read_only import ReadOnly

# Only functions that a superuser has made are called, by their whole names.
WHERE = """
    SELECT p.proname::text AS name,
           pg_catalog.format('%I.%I', n.nspname, p.proname) AS called
      FROM pg_catalog.pg_proc p
      JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
      JOIN pg_catalog.pg_roles r ON r.oid = p.proowner
     WHERE p.proname IN ('aurora_replica_status', 'aurora_db_instance_identifier')
       AND p.pronargs = 0 AND (r.rolsuper OR n.nspname = 'pg_catalog')
"""
STATUS = """
    SELECT s.server_id::text AS name,
           s.session_id::text = 'MASTER_SESSION_ID' AS is_writer,
           s.server_id::text = {identifier}()::text AS is_me,
           s.replica_lag_in_msec::float8 / 1000 AS lag_s,
           extract(epoch FROM pg_catalog.clock_timestamp() - s.last_update_timestamp)
             ::float8 AS age_s
      FROM {status}() AS s
     ORDER BY 1
"""
Row = dict[str, Any]
"""One instance, by the columns of STATUS."""


async def instances(server: ReadOnly) -> list[Row]:
    """List the cluster's instances; none where Aurora does not tell.

    Raises:
        DbopsError: As `ReadOnly.rows`.
    """
    called = {row["name"]: row["called"] for row in await server.rows(WHERE)}
    if len(called) < 2:  # noqa: PLR2004 # both are needed
        return []
    query = STATUS.format(
        identifier=called["aurora_db_instance_identifier"],
        status=called["aurora_replica_status"],
    )
    return await server.rows(query)
