"""Which of the writer's commits does the reader lack, and how old is the oldest?

A position that was not replayed yet proves little: behind it there may be nothing but
a checkpoint. What a reader of rows misses are commits, and the writer knows those by
their number. It needs no privilege; with track_commit_timestamp it also tells their
age, on one clock.
"""

from typing import Any, NamedTuple

from dbops.engine.read_only import ReadOnly
from dbops.operations.replica.judgement import Token

# Everything from the standby's xmax on has not ended there, and of what lies below only
# what is open there. No more than 1000 numbers are looked at: those that are beyond
# make the answer a bound.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-COMMIT-TIMESTAMP
MISSING = """
    WITH asked AS MATERIALIZED (
        SELECT $1::bigint AS beginning,
               $2::bigint[] AS open_there,
               $3::text::pg_catalog.pg_snapshot AS before,
               pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
                 ::text::bigint AS ending,
               pg_catalog.current_setting('track_commit_timestamp') = 'on' AS is_dated),
    numbers AS (
        SELECT x FROM asked, pg_catalog.generate_series(
                   beginning, least(ending, beginning + 1000) - 1) AS x
         UNION ALL
        SELECT pg_catalog.unnest(open_there) FROM asked),
    committed AS MATERIALIZED (
        SELECT pg_catalog.pg_visible_in_snapshot(x::text::pg_catalog.xid8, before)
                 AS was_before,
               CASE WHEN is_dated THEN pg_catalog.pg_xact_commit_timestamp(
                        (x % 4294967296)::text::xid) END AS at
          FROM numbers, asked
         WHERE pg_catalog.pg_xact_status(x::text::pg_catalog.xid8) = 'committed')
    SELECT (SELECT count(*)::int FROM committed) AS known,
           (SELECT count(*)::int FROM committed WHERE was_before) AS known_before,
           (SELECT extract(epoch FROM pg_catalog.clock_timestamp() - min(at))::float8
              FROM committed) AS age_s,
           (SELECT ending - beginning <= 1000 AND open_there IS NOT NULL FROM asked)
             AS is_all,
           (SELECT count(*) = 0 FROM committed WHERE at IS NULL) AS are_dated,
           extract(epoch FROM pg_catalog.clock_timestamp() - $4::timestamptz)::float8
             AS since_replayed_s,
           pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_flush_lsn(),
                                      $5::text::pg_catalog.pg_lsn)::bigint AS bytes
"""


class Missing(NamedTuple):
    """What the reader lacked of the writer's commits."""

    is_none: bool
    """Whether it surely lacked none."""
    is_proved: bool
    """Whether it surely lacked one that was there before the token."""
    age_low_s: float | None
    """The oldest that it lacked was at least so old."""
    age_high_s: float | None
    """And at most so old."""
    bytes_behind: int | None
    """From what it had replayed to what the writer has flushed now."""


async def missing(writer: ReadOnly, token: Token, state: dict[str, Any]) -> Missing:
    """Ask the writer about what a reader's row of ON_READER does not show.

    Raises:
        DbopsError: As `ReadOnly.rows`.
    """
    row = await writer.row(
        MISSING,
        state["xmax"],
        state["open_here"],
        token.snapshot,
        state["commit_clock"],
        state["replayed"],
    )
    is_exact = row["is_all"] and row["are_dated"]
    # What came before the last commit that was replayed is replayed: one clock, and
    # the order of the WAL.
    since_s: float | None = row["since_replayed_s"]
    return Missing(
        is_none=row["is_all"] and not row["known"],
        is_proved=row["known_before"] > 0,
        age_low_s=row["age_s"],
        age_high_s=row["age_s"] if is_exact else since_s,
        bytes_behind=None if row["bytes"] is None else max(row["bytes"], 0),
    )
