"""How often did a server's queries use each index, and since when does it count?"""

from collections.abc import Iterable
from typing import NamedTuple

from dbops.operations.doctor.check import NotApplicableError, UndecidedError
from dbops.operations.doctor.objects import name, ours, size
from dbops.operations.doctor.servers import Server
from dbops.units import duration_text

# Statistics begin anew with a reset, and with a crash; whether the last start followed
# one is not told, so the start counts as well.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW
COUNTED = """
    SELECT extract(epoch FROM pg_catalog.clock_timestamp()
               - greatest(d.stats_reset, pg_catalog.pg_postmaster_start_time()))::float8
               AS age_s,
           pg_catalog.current_setting('track_counts')::bool AS is_counting
      FROM pg_catalog.pg_stat_database d
     WHERE d.datname = pg_catalog.current_database()
"""

# An index of a partitioned table is used where that of one partition is. One whose
# table was never filled has had no chance, and one that is younger than the limit no
# time; commit timestamps tell, where they are tracked. What keeps duplicates out, backs
# a constraint or identifies rows for a replica is used without any scan.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-INDEXES-VIEW
# pg_stat_get_numscans: what that view shows, every version; the last scan from 16 on.
SCANS = f"""
    WITH leaves AS (
        SELECT i.indexrelid, i.indrelid, {size("c")} AS size_bytes,
               CASE WHEN c.relispartition
                    THEN pg_catalog.pg_partition_root(i.indexrelid)::oid
                    ELSE i.indexrelid END AS root
          FROM pg_catalog.pg_index i
          JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
          JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
         WHERE c.relkind = 'i' AND i.indisvalid AND NOT i.indisunique
           AND NOT i.indisexclusion AND NOT i.indisreplident AND {ours("t")}
           AND i.indexrelid NOT IN (SELECT conindid FROM pg_catalog.pg_constraint)
    ), used AS (
        SELECT l.root, sum(l.size_bytes)::bigint AS size_bytes,
               max(pg_catalog.pg_stat_get_live_tuples(l.indrelid)) AS rows,
               bool_or(l.size_bytes > pg_catalog.current_setting('block_size')::bigint)
                   AS is_large
          FROM leaves l
         GROUP BY l.root
        HAVING sum(pg_catalog.pg_stat_get_numscans(l.indexrelid)) = 0
            OR extract(epoch FROM pg_catalog.clock_timestamp() - max(@last@)) >= $1
    )
    SELECT {name("r.oid")} AS name, r.relkind::text AS kind,
           {name("i.indrelid")} AS "table", u.size_bytes,
           u.is_large OR u.rows > 0 AS is_filled,
           extract(epoch FROM pg_catalog.clock_timestamp() -
               CASE WHEN pg_catalog.current_setting('track_commit_timestamp')::bool
                    THEN pg_catalog.pg_xact_commit_timestamp(r.xmin) END)::float8
               AS made_s
      FROM used u
      JOIN pg_catalog.pg_class r ON r.oid = u.root
      JOIN pg_catalog.pg_index i ON i.indexrelid = u.root
     WHERE $2::text[] IS NULL OR {name("r.oid")} = ANY ($2::text[])
"""  # noqa: S608 # a constant
_LAST = {
    True: "pg_catalog.pg_stat_get_lastscan(l.indexrelid)",
    False: "NULL::timestamptz",
}
_LAST_SINCE = 16
_DAY_S = 86400.0
_MANY_DAYS = 2

# A slot without a sender is a standby that is away. A base backup and an archive of WAL
# answer no queries; logical senders feed other clusters.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW
STANDBYS = """
    SELECT (SELECT count(*) FROM pg_catalog.pg_stat_replication r
             WHERE r.state IS DISTINCT FROM 'backup'
               AND r.application_name IS DISTINCT FROM 'pg_receivewal'
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s
                                WHERE s.active_pid = r.pid
                                  AND s.slot_type = 'logical'))
         + (SELECT count(*) FROM pg_catalog.pg_replication_slots
             WHERE slot_type = 'physical' AND NOT active) AS number
"""
# https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora_replica_status.html
AURORA_STANDBYS = """
    SELECT count(*) AS number FROM aurora_replica_status()
     WHERE session_id <> 'MASTER_SESSION_ID'
"""


class UnusedIndex(NamedTuple):
    """One index that a server has not used; a partitioned one with all its parts."""

    kind: str
    """`i`, or `I` for a partitioned one."""
    table: str
    """Quoted."""
    size_bytes: int
    """As last noted."""
    is_filled: bool
    """Whether its table has ever held rows."""
    made_s: float | None
    """Since it was made or altered; None where nothing tells."""


async def counted_s(server: Server, *, at_least_s: float) -> float:
    """Return how many seconds a server's statistics cover.

    Raises:
        NotApplicableError: If that is less than `at_least_s`.
        UndecidedError: If it does not count.
    """
    row = await server.row(COUNTED)
    if not row["is_counting"]:
        why = f"the {server.role} counts no scans: track_counts is off"
        raise UndecidedError(why, requires="ALTER SYSTEM SET track_counts = on")
    age_s: float = row["age_s"]
    if age_s < at_least_s:
        covered, needed = span_text(age_s), span_text(at_least_s)
        why = f"the {server.role}'s statistics cover {covered}, and it takes {needed}"
        raise NotApplicableError(why)
    return age_s


async def unused_indexes(
    server: Server, *, idle_s: float, names: Iterable[str] | None = None
) -> dict[str, UnusedIndex]:
    """Return, by quoted name, what nothing but queries needs, and no query used.

    Args:
        server: Whom to ask.
        idle_s: For how long none did, where there were some before.
        names: Which indexes are meant; None for all.
    """
    query = SCANS.replace("@last@", _LAST[server.major >= _LAST_SINCE])
    meant = None if names is None else list(names)
    rows = await server.rows(query, idle_s, meant)
    return {row.pop("name"): UnusedIndex(**row) for row in rows}


async def standbys(server: Server) -> int:
    """Count the servers that answer queries from what this one writes."""
    query = AURORA_STANDBYS if server.is_aurora else STANDBYS
    number: int = (await server.row(query))["number"]
    return number


def span_text(value_s: float) -> str:
    """Write a long time in days, and a short one with its unit."""
    if value_s >= _MANY_DAYS * _DAY_S:
        return f"{value_s / _DAY_S:.0f} days"
    return duration_text(round(value_s))
