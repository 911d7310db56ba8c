"""Which tables and indexes are the biggest?"""

from dbops.engine.read_only import ReadOnly
from dbops.errors import LockedError
from dbops.operations.report.answer import Relation

_MOST = 12

# A partitioned table has no storage of its own.
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBSIZE
BIGGEST = """
    WITH sized AS MATERIALIZED (
        SELECT c.oid, c.relname, c.relnamespace, c.reltuples,
               c.relkind = 'i' AS is_index,
               {size} AS size_bytes
          FROM pg_catalog.pg_class c
          LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid
         WHERE c.relkind IN ('r', 'm', 'i')
           AND c.relpersistence <> 't'
           AND c.relnamespace NOT IN (
                   SELECT oid FROM pg_catalog.pg_namespace
                    WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast'))),
    placed AS (
        SELECT s.*, row_number() OVER (PARTITION BY s.is_index
                                       ORDER BY s.size_bytes DESC, s.oid) AS place
          FROM sized s
         WHERE s.size_bytes > 0)
    SELECT pg_catalog.format('%I.%I', n.nspname, p.relname) AS name,
           CASE WHEN p.is_index THEN 'index' ELSE 'table' END AS kind,
           (SELECT pg_catalog.format('%I.%I', tn.nspname, t.relname)
              FROM pg_catalog.pg_index x
              JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
              JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
             WHERE x.indexrelid = p.oid) AS table,
           p.size_bytes,
           CASE WHEN p.reltuples >= 0 AND NOT p.is_index
                THEN p.reltuples::bigint END AS rows
      FROM placed p
      JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace
     WHERE p.place <= $1
     ORDER BY p.is_index, p.size_bytes DESC, name
"""
# It takes a reader's lock for an instant, on each of them.
ON_DISK = """
    CASE WHEN c.relkind = 'i' THEN pg_catalog.pg_relation_size(c.oid)
         ELSE pg_catalog.pg_table_size(c.oid) END
"""
# As of the last vacuum, analyze or index build.
# https://www.postgresql.org/docs/current/catalog-pg-class.html
ESTIMATED = """
    (c.relpages + coalesce(t.relpages, 0))::bigint
      * pg_catalog.current_setting('block_size')::bigint
"""


async def biggest(server: ReadOnly, *, most: int = _MOST) -> tuple[Relation, ...]:
    """Return the biggest tables of the database, then its biggest indexes.

    While somebody holds a table exclusively, all sizes are the catalog's estimates.

    Args:
        server: Whom to ask.
        most: How many of each.

    Raises:
        DbopsError: As `ReadOnly.rows`.
    """
    try:
        rows, is_estimate = await server.rows(_asking(ON_DISK), most), False
    except LockedError:
        rows, is_estimate = await server.rows(_asking(ESTIMATED), most), True
    return tuple(Relation(**row, is_estimate=is_estimate) for row in rows)


def _asking(size: str) -> str:
    return BIGGEST.format(size=size)
