"""Does deleting from one table scan another, because a foreign key has no index?"""

from typing import Any

from dbops.limits import Limit, amount_text
from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import Found, Limits, ServerCheck, severity
from dbops.operations.doctor.objects import name, ours, size
from dbops.operations.doctor.servers import Server

# An index helps whose first columns are the key's, in any order, with the collations
# that the columns have; and one that is unique over some of them. A partial one does
# not, except where it leaves out nothing but NULL in a column of the key, which no
# referenced row equals; BRIN finds parts of a table and no row. What is asked of a
# partitioned table is asked of its partitions; they, and the partitions of what is
# referenced, have keys of their own below the one that was declared.
# https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK
# https://www.postgresql.org/docs/current/catalog-pg-constraint.html
# pg_constraint, pg_index: every version; conenforced from 18 on, hence by way of JSON.
WITHOUT_INDEX = f"""
    WITH RECURSIVE uncovered AS (
        SELECT k.oid, k.conparentid, k.conrelid, {size("t")} AS size_bytes
          FROM pg_catalog.pg_constraint k
          JOIN pg_catalog.pg_class t ON t.oid = k.conrelid AND t.relkind = 'r'
         WHERE k.contype = 'f' AND {ours("t")}
           AND (k.convalidated OR pg_catalog.to_jsonb(k) ->> 'conenforced'
                                      IS DISTINCT FROM 'false')
           AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_index i
                 JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
                 JOIN pg_catalog.pg_am a ON a.oid = c.relam
                WHERE i.indrelid = k.conrelid
                  AND i.indisvalid AND i.indisready AND i.indislive
                  AND a.amname <> 'brin'
                  AND (i.indnkeyatts >= pg_catalog.cardinality(k.conkey)
                       AND (i.indkey::int2[])[0:pg_catalog.cardinality(k.conkey) - 1]
                           @> k.conkey
                       OR i.indisunique
                       AND (i.indkey::int2[])[0:i.indnkeyatts - 1] <@ k.conkey)
                  AND (i.indpred IS NULL
                       OR pg_catalog.substring(i.indpred::text,
                              '^{{NULLTEST :arg {{VAR :varno 1 :varattno ([0-9]+) '
                              '[^{{}}]*}} :nulltesttype 1 [^{{}}]*}}$'
                          )::int2 = ANY (k.conkey))
                  AND NOT EXISTS (
                      SELECT FROM pg_catalog.pg_attribute f,
                             pg_catalog.generate_series(0, least(i.indnkeyatts::int,
                                 pg_catalog.cardinality(k.conkey)) - 1) AS at
                       WHERE f.attrelid = i.indrelid AND f.attnum = i.indkey[at]
                         AND f.attcollation <> i.indcollation[at]))
    ), declared AS (
        SELECT oid, conparentid, conrelid, size_bytes FROM uncovered
        UNION ALL
        SELECT p.oid, p.conparentid, d.conrelid, d.size_bytes
          FROM declared d JOIN pg_catalog.pg_constraint p ON p.oid = d.conparentid
    )
    SELECT {name("k.conrelid")} AS "table", t.relkind::text AS kind,
           pg_catalog.quote_ident(k.conname) AS name,
           (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(f.attname), ', '
                                         ORDER BY u.at)
              FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS u (number, at)
              JOIN pg_catalog.pg_attribute f
                ON f.attrelid = k.conrelid AND f.attnum = u.number) AS columns,
           {name("k.confrelid")} AS referenced,
           sum(d.size_bytes)::bigint AS size_bytes
      FROM (SELECT DISTINCT oid, conrelid, size_bytes FROM declared
             WHERE conparentid = 0) d
      JOIN pg_catalog.pg_constraint k ON k.oid = d.oid
      JOIN pg_catalog.pg_class t ON t.oid = k.conrelid
     GROUP BY k.oid, k.conkey, k.conrelid, k.confrelid, k.conname, t.relkind
     ORDER BY 6 DESC, 1, 3
"""  # noqa: S608 # a constant


async def find(server: Server, limits: Limits) -> Found:
    """List the foreign keys that no index serves, the largest table first."""
    rows = await server.rows(WITHOUT_INDEX)
    return Found(
        f"foreign keys without an index: {len(rows)}"
        if rows
        else "every foreign key has an index",
        tuple(_finding(row, limits["value"]) for row in rows),
    )


def _finding(row: dict[str, Any], limit: Limit) -> Finding:
    size_bytes = row["size_bytes"]
    # A partitioned table's index cannot be built concurrently.
    # https://www.postgresql.org/docs/current/sql-createindex.html
    how = "" if row["kind"] == "p" else "CONCURRENTLY "
    known = f", {amount_text(size_bytes, 'B')}" if size_bytes else ""
    return Finding(
        object=f"{row['table']}.{row['name']}",
        message=f"no index serves the foreign key ({row['columns']}): whoever deletes "
        f"from {row['referenced']} reads the whole table{known}",
        remedy=f"CREATE INDEX {how}ON {row['table']} ({row['columns']})",
        severity=severity(limit.graded(size_bytes)),
    )


CHECK = ServerCheck(
    id="D33",
    title="foreign keys without index",
    question="Does deleting from one table scan another, because a foreign key has no "
    "index?",
    scope="database",
    on="writer",
    find=find,
    limits={"value": Limit(1 << 30, None, "B")},
)
