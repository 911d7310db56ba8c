"""How much of a table or an index may be empty? An estimate from the statistics."""

from typing import NamedTuple

from dbops.operations.doctor.objects import name, ours, size
from dbops.operations.doctor.servers import Server

# A page has a header of 24 bytes, and a row one of 23 with its line pointer of 4; both
# are aligned to 8. Padding between columns is unknown, so that this errs upward.
# https://www.postgresql.org/docs/current/storage-page-layout.html
# https://www.postgresql.org/docs/current/view-pg-stats.html
TABLES = f"""
    WITH big AS MATERIALIZED (
        SELECT c.oid, c.relname, c.relkind, c.reltuples, c.reloptions, n.nspname,
               {size("c")} AS size_bytes
          FROM pg_catalog.pg_class c
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'm') AND {size("c")} >= $1 AND {ours("c")}
    ), rows AS (
        SELECT b.oid, sum((1 - s.null_frac) * s.avg_width) AS width,
               count(*) FILTER (WHERE s.attname IS NULL) AS unknown,
               CASE WHEN max(s.null_frac) > 0 THEN (count(*) + 7) / 8 ELSE 0 END
                   AS bitmap
          FROM big b
          JOIN pg_catalog.pg_attribute a
            ON a.attrelid = b.oid AND a.attnum > 0 AND NOT a.attisdropped
          LEFT JOIN pg_catalog.pg_stats s
            ON s.schemaname = b.nspname AND s.tablename = b.relname
           AND s.attname = a.attname AND NOT s.inherited
         GROUP BY b.oid
    )
    SELECT {name("b.oid")} AS name, b.relkind::text AS kind, b.size_bytes,
           pg_catalog.has_table_privilege(b.oid, 'SELECT') AS is_visible,
           CASE WHEN r.unknown = 0 AND b.reltuples >= 0 THEN
               ceil(b.reltuples
                    * (4 + 8 * ceil((23 + r.bitmap) / 8.0) + 8 * ceil(r.width / 8))
                    / ((z.page - 24) * coalesce(f.fillfactor, 100) / 100)) * z.page
           END::float8 AS needed_bytes
      FROM big b
      JOIN rows r USING (oid)
     CROSS JOIN (SELECT pg_catalog.current_setting('block_size')::float8 AS page) z
      LEFT JOIN LATERAL (
          SELECT option_value::float8 AS fillfactor
            FROM pg_catalog.pg_options_to_table(b.reloptions)
           WHERE option_name = 'fillfactor') f ON true
"""  # noqa: S608 # a constant

# An entry has a header of 8 bytes and a line pointer of 4, a page one of 24 and 16 of a
# B-tree's own. Equal keys are stored once from 13 on, so that this errs either way.
# https://www.postgresql.org/docs/current/btree.html
INDEXES = f"""
    WITH big AS MATERIALIZED (
        SELECT c.oid, c.relname, c.relkind, c.reltuples, c.reloptions, i.indrelid,
               i.indkey::int2[] AS keys, t.relname AS owner, n.nspname,
               {size("c")} AS size_bytes
          FROM pg_catalog.pg_index i
          JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i'
          JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname = 'btree'
          JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
          JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
         WHERE i.indisvalid AND {size("c")} >= $1 AND {ours("t")}
    ), entries AS (
        SELECT b.oid, sum((1 - s.null_frac) * s.avg_width) AS width,
               count(*) FILTER (WHERE s.attname IS NULL) AS unknown
          FROM big b
         CROSS JOIN LATERAL pg_catalog.unnest(b.keys) WITH ORDINALITY AS k (number, at)
          LEFT JOIN pg_catalog.pg_attribute a
            ON a.attrelid = CASE WHEN k.number = 0 THEN b.oid ELSE b.indrelid END
           AND a.attnum = CASE WHEN k.number = 0 THEN k.at ELSE k.number END
          LEFT JOIN pg_catalog.pg_stats s
            ON s.schemaname = b.nspname AND s.attname = a.attname AND NOT s.inherited
           AND s.tablename = CASE WHEN k.number = 0 THEN b.relname ELSE b.owner END
         GROUP BY b.oid
    )
    SELECT {name("b.oid")} AS name, b.relkind::text AS kind, b.size_bytes,
           pg_catalog.has_table_privilege(b.indrelid, 'SELECT') AS is_visible,
           CASE WHEN e.unknown = 0 AND b.reltuples >= 0 THEN
               ceil(b.reltuples * (12 + 8 * ceil(e.width / 8))
                    / ((z.page - 40) * coalesce(f.fillfactor, 90) / 100)) * z.page
           END::float8 AS needed_bytes
      FROM big b
      JOIN entries e USING (oid)
     CROSS JOIN (SELECT pg_catalog.current_setting('block_size')::float8 AS page) z
      LEFT JOIN LATERAL (
          SELECT option_value::float8 AS fillfactor
            FROM pg_catalog.pg_options_to_table(b.reloptions)
           WHERE option_name = 'fillfactor') f ON true
"""  # noqa: S608 # a constant


class Room(NamedTuple):
    """What a relation takes, and what it needs."""

    name: str
    """Quoted."""
    kind: str
    """As `pg_class.relkind` says."""
    size_bytes: int
    """As last noted."""
    is_visible: bool
    """Whether its statistics are shown to us."""
    needed_bytes: float | None
    """What its rows would take; None where statistics do not tell."""

    @property
    def empty_share(self) -> float | None:
        """The share of it that may be empty, from 0 to 100."""
        if self.needed_bytes is None:
            return None
        return max(0.0, 100.0 * (1 - self.needed_bytes / self.size_bytes))


async def rooms(server: Server, *, at_least_bytes: float) -> list[Room]:
    """Return the tables and B-trees of that size, the largest first."""
    rows = [
        *await server.rows(TABLES, at_least_bytes),
        *await server.rows(INDEXES, at_least_bytes),
    ]
    found = [Room(**row) for row in rows]
    return sorted(found, key=lambda it: -it.size_bytes)
