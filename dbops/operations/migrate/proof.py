"""Did a migration leave something half-built: an invalid index, an unproved constraint?

Whoever may connect may ask: all of it is in catalogs that everybody reads.
"""

from sqlalchemy import Connection, text

from dbops.operations.migrate.migrated import InvalidIndex, NotValidConstraint

__all__ = [
    "InvalidIndex",
    "NotValidConstraint",
    "incomplete_indexes",
    "invalid_indexes",
    "not_valid_constraints",
]

# A CREATE INDEX CONCURRENTLY that fails leaves an index that costs every write and
# serves no read; IF NOT EXISTS then finds it and is content.
# https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
#
# One that is being built now is invalid too, and nothing is wrong with it. It is known
# by its builder's progress; by a lock on the index, as REINDEX and DROP … CONCURRENTLY
# hold on every index that they work on; and, where the builder is another role and its
# progress hidden, by its lock on the table: it can only be the newest one there.
# https://www.postgresql.org/docs/current/progress-reporting.html#CREATE-INDEX-PROGRESS-REPORTING
# pg_index, pg_locks, pg_stat_progress_create_index: PostgreSQL 12 and newer.
INVALID_INDEXES = """
    WITH invalid AS (
        SELECT i.indexrelid, i.indrelid, i.indislive, i.indisexclusion,
               c.relname, c.relnamespace,
               row_number() OVER (PARTITION BY i.indrelid ORDER BY i.indexrelid DESC)
                   AS newest
          FROM pg_catalog.pg_index i
          JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
         WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relpersistence <> 't'
    ), locks AS (
        SELECT l.pid, l.relation
          FROM pg_catalog.pg_locks l
          JOIN pg_catalog.pg_database d ON d.oid = l.database
         WHERE d.datname = pg_catalog.current_database()
           AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
    )
    SELECT pg_catalog.quote_ident(n.nspname) || '.'
               || pg_catalog.quote_ident(i.relname) AS name,
           pg_catalog.quote_ident(tn.nspname) || '.'
               || pg_catalog.quote_ident(t.relname) AS "table",
           CASE WHEN NOT i.indislive OR i.relname ~ '_cc(new|old)[0-9]*$'
                THEN 'DROP INDEX CONCURRENTLY '
                WHEN i.indisexclusion THEN 'REINDEX INDEX '
                ELSE 'REINDEX INDEX CONCURRENTLY '
           END || pg_catalog.quote_ident(n.nspname) || '.'
               || pg_catalog.quote_ident(i.relname) AS remedy
      FROM invalid i
      JOIN pg_catalog.pg_namespace n ON n.oid = i.relnamespace
      JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
      JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
     WHERE NOT EXISTS (SELECT FROM locks l WHERE l.relation = i.indexrelid)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p
                        WHERE p.index_relid = i.indexrelid)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p
                         JOIN locks l USING (pid)
                        WHERE p.index_relid IS NULL AND l.relation = i.indrelid
                          AND i.newest = 1)
     ORDER BY 1
"""

# The index of a partitioned table is invalid until each partition has its own, which
# is how it is built without blocking; partitions use theirs meanwhile.
# https://www.postgresql.org/docs/current/ddl-partitioning.html
INCOMPLETE_INDEXES = """
    SELECT pg_catalog.quote_ident(n.nspname) || '.'
               || pg_catalog.quote_ident(c.relname) AS name,
           pg_catalog.quote_ident(tn.nspname) || '.'
               || pg_catalog.quote_ident(t.relname) AS "table",
           (SELECT pg_catalog.array_agg(pg_catalog.quote_ident(pn.nspname) || '.'
                       || pg_catalog.quote_ident(p.relname) ORDER BY p.relname)
              FROM pg_catalog.pg_inherits h
              JOIN pg_catalog.pg_class p ON p.oid = h.inhrelid
              JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
             WHERE h.inhparent = i.indrelid
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits hi
                                 JOIN pg_catalog.pg_index pi
                                   ON pi.indexrelid = hi.inhrelid AND pi.indisvalid
                                WHERE hi.inhparent = i.indexrelid
                                  AND pi.indrelid = p.oid)) AS lacking
      FROM pg_catalog.pg_index i
      JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
      JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
     WHERE NOT i.indisvalid AND c.relkind = 'I' AND c.relpersistence <> 't'
     ORDER BY 1
"""

# A NOT ENFORCED constraint (18) is not valid either, and cannot be made so. VALIDATE
# on a parent proves its children's, which therefore are not listed beside it.
# https://www.postgresql.org/docs/current/sql-altertable.html
# pg_constraint: every version; conenforced from 18 on, hence by way of JSON.
NOT_VALID_CONSTRAINTS = """
    SELECT pg_catalog.quote_ident(k.conname) AS name,
           pg_catalog.quote_ident(n.nspname) || '.'
               || pg_catalog.quote_ident(coalesce(t.relname, d.typname)) AS "table",
           CASE WHEN t.oid IS NULL THEN 'ALTER DOMAIN ' ELSE 'ALTER TABLE ' END
               || pg_catalog.quote_ident(n.nspname) || '.'
               || pg_catalog.quote_ident(coalesce(t.relname, d.typname))
               || ' VALIDATE CONSTRAINT ' || pg_catalog.quote_ident(k.conname) AS remedy
      FROM pg_catalog.pg_constraint k
      LEFT JOIN pg_catalog.pg_class t ON t.oid = k.conrelid
      LEFT JOIN pg_catalog.pg_type d ON d.oid = k.contypid
      JOIN pg_catalog.pg_namespace n ON n.oid = coalesce(t.relnamespace, d.typnamespace)
     WHERE NOT k.convalidated
       AND pg_catalog.to_jsonb(k) ->> 'conenforced' IS DISTINCT FROM 'false'
       AND t.relpersistence IS DISTINCT FROM 't'
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint p
                        WHERE p.oid = k.conparentid AND NOT p.convalidated)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h
                         JOIN pg_catalog.pg_constraint p
                           ON p.conrelid = h.inhparent AND p.conname = k.conname
                        WHERE h.inhrelid = k.conrelid AND k.coninhcount > 0
                          AND NOT p.convalidated)
     ORDER BY 2, 1
"""


def invalid_indexes(connection: Connection) -> tuple[InvalidIndex, ...]:
    """List the indexes that were left invalid, by name; none that is being built."""
    rows = connection.execute(text(INVALID_INDEXES)).mappings()
    return tuple(InvalidIndex.model_validate(dict(row)) for row in rows)


def incomplete_indexes(connection: Connection) -> tuple[InvalidIndex, ...]:
    """List the indexes of partitioned tables that some partition has not got yet."""
    return tuple(
        InvalidIndex(
            name=row["name"],
            table=row["table"],
            remedy=_remedy(row["name"], row["lacking"] or ()),
        )
        for row in connection.execute(text(INCOMPLETE_INDEXES)).mappings()
    )


def not_valid_constraints(connection: Connection) -> tuple[NotValidConstraint, ...]:
    """List the constraints that wait for their VALIDATE, by table and name."""
    rows = connection.execute(text(NOT_VALID_CONSTRAINTS)).mappings()
    return tuple(NotValidConstraint.model_validate(dict(row)) for row in rows)


def _remedy(name: str, lacking: tuple[str, ...]) -> str:
    attach = f"ALTER INDEX {name} ATTACH PARTITION"
    if not lacking:
        return f"every partition has it: attach one again with {attach}"
    return f"build it on {', '.join(lacking)}, then {attach} for each"
