"""Does an index do what another does already?"""

from itertools import groupby
from typing import Any

from dbops.limits import Limit, amount_text
from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import Found, Limits, ServerCheck, severity
from dbops.operations.doctor.objects import drop_index, name, ours, size, some
from dbops.operations.doctor.servers import Server

# The same is: table, columns, operator classes, collations, sort order, expressions,
# predicate, included columns, uniqueness, and what the columns or the access method
# were given as options. Options of a B-tree or a hash say how full its pages are, which
# makes no other index.
# What backs a constraint, is referenced by one, is a replica's identity or a part of a
# partitioned index is needed for more than its order.
# https://www.postgresql.org/docs/current/catalog-pg-index.html
# pg_index: every version; indnullsnotdistinct from 15 on, hence by way of JSON.
# The text of an expression tells where it stood in the statement.
_EXPRESSIONS = "pg_catalog.regexp_replace({}::text, ':location -?[0-9]+', '', 'g')"
_NEEDED = """
    (i.indisprimary OR i.indisexclusion OR i.indisreplident OR c.relispartition
     OR i.indexrelid IN (SELECT conindid FROM pg_catalog.pg_constraint))
"""
DUPLICATES = f"""
    WITH signed AS (
        SELECT i.indexrelid, i.indrelid, c.relkind, c.relispartition, i.indisprimary,
               {size("c")} AS size_bytes, {_NEEDED} AS is_needed,
               count(*) OVER same AS number, dense_rank() OVER sorted AS "group"
          FROM pg_catalog.pg_index i
          JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
          JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
          JOIN pg_catalog.pg_am a ON a.oid = c.relam
         CROSS JOIN LATERAL (
             SELECT concat_ws('/', i.indkey, i.indclass, i.indcollation,
                              i.indoption, i.indisunique,
                              i.indisunique AND i.indimmediate) AS shape,
                    {_EXPRESSIONS.format("i.indexprs")} AS expressions,
                    {_EXPRESSIONS.format("i.indpred")} AS predicate,
                    CASE WHEN a.amname NOT IN ('btree', 'hash')
                         THEN c.reloptions::text END AS options) s
         WHERE i.indisvalid AND i.indisready AND i.indislive AND {ours("t")}
        WINDOW same AS (PARTITION BY i.indrelid, s.shape, s.expressions, s.predicate,
                                     s.options),
               sorted AS (ORDER BY i.indrelid, s.shape, s.expressions, s.predicate,
                                   s.options)
    )
    SELECT s."group", {name("s.indexrelid")} AS name, {name("s.indrelid")} AS "table",
           s.relkind::text AS kind, s.size_bytes, s.is_needed,
           s.relispartition AS is_partition,
           pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct' AS nulls,
           (SELECT pg_catalog.array_agg(f.attoptions::text ORDER BY f.attnum)
              FROM pg_catalog.pg_attribute f
             WHERE f.attrelid = s.indexrelid)::text AS column_options
      FROM signed s
      JOIN pg_catalog.pg_index i ON i.indexrelid = s.indexrelid
     WHERE s.number > 1
     ORDER BY s."group", nulls, column_options, s.is_needed DESC, s.indisprimary DESC,
              i.indisclustered DESC, s.indexrelid
"""  # noqa: S608 # a constant

# An index on (a) is seldom needed beside one on (a, b), but it is smaller: a note.
COVERED = f"""
    SELECT {name("i.indexrelid")} AS name, {name("min(b.indexrelid)")} AS by
      FROM pg_catalog.pg_index i
      JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
      JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
      JOIN pg_catalog.pg_index b
        ON b.indrelid = i.indrelid AND b.indexrelid <> i.indexrelid
       AND b.indisvalid AND b.indisready AND b.indislive
       AND (b.indisunique OR b.indnkeyatts > i.indnkeyatts)
       AND b.indexprs IS NULL
      JOIN pg_catalog.pg_class d ON d.oid = b.indexrelid AND d.relam = c.relam
     WHERE i.indisvalid AND i.indisready AND i.indislive AND NOT i.indisunique
       AND NOT i.indisclustered AND i.indnatts = i.indnkeyatts AND i.indexprs IS NULL
       AND c.relam = (SELECT oid FROM pg_catalog.pg_am WHERE amname = 'btree')
       AND {_EXPRESSIONS.format("i.indpred")} IS NOT DISTINCT FROM
           {_EXPRESSIONS.format("b.indpred")}
       AND b.indnkeyatts >= i.indnkeyatts
       AND pg_catalog.starts_with(b.indkey::text || ' ', i.indkey::text || ' ')
       AND pg_catalog.starts_with(b.indclass::text || ' ', i.indclass::text || ' ')
       AND pg_catalog.starts_with(b.indcollation::text || ' ',
                                  i.indcollation::text || ' ')
       AND pg_catalog.starts_with(b.indoption::text || ' ', i.indoption::text || ' ')
       AND NOT {_NEEDED} AND {ours("t")}
     GROUP BY i.indexrelid
     ORDER BY 1
"""  # noqa: S608 # a constant


async def find(server: Server, limits: Limits) -> Found:
    """List what can be dropped because its twin stays; note what another covers."""
    groups = groupby(
        await server.rows(DUPLICATES),
        key=lambda row: (row["group"], row["nulls"], row["column_options"]),
    )
    findings: list[Finding] = []
    needed: list[str] = []
    for _, rows in groups:
        kept, *others = rows
        for row in others:
            if not row["is_needed"]:
                findings.append(_finding(row, kept, limits["value"]))
            elif not row["is_partition"]:
                needed.append(f"{row['name']} and {kept['name']}")
    covered = [f"{row['name']} (by {row['by']})" for row in await server.rows(COVERED)]
    notes = {
        "the same, but each is needed": needed,
        "covered by another index, perhaps needless": covered,
    }
    return Found(
        f"duplicate indexes: {len(findings)}"
        if findings
        else "no index is the same as another",
        tuple(findings),
        tuple(f"{what}: {some(names)}" for what, names in notes.items() if names),
    )


def _finding(row: dict[str, Any], kept: dict[str, Any], limit: Limit) -> Finding:
    taken_bytes = row["size_bytes"]
    taken = f", and it takes {amount_text(taken_bytes, 'B')}" if taken_bytes else ""
    return Finding(
        object=row["name"],
        message=f"the index on {row['table']} is the same as {kept['name']}: "
        f"every write pays for both{taken}",
        remedy=drop_index(row["name"], row["kind"]),
        severity=severity(limit.graded(taken_bytes)),
    )


CHECK = ServerCheck(
    id="D31",
    title="duplicate indexes",
    question="Does an index do what another does already?",
    scope="database",
    on="writer",
    find=find,
    limits={"value": Limit(100 << 20, None, "B")},
)
