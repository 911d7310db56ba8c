"""Is a constraint not proved for the rows that were there before it?"""

from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import Found, Limits, ServerCheck
from dbops.operations.doctor.objects import some
from dbops.operations.doctor.servers import Server

# A NOT ENFORCED constraint (18) is not valid either, and was never meant to be.
# VALIDATE on a parent proves its children's, which are not listed beside it.
# https://www.postgresql.org/docs/current/sql-altertable.html
# pg_constraint: every version; conenforced from 18 on, hence by way of JSON.
NOT_VALID = """
    SELECT pg_catalog.quote_ident(k.conname) AS name,
           CASE WHEN t.oid IS NULL THEN 'DOMAIN ' ELSE 'TABLE ' END
               || pg_catalog.quote_ident(n.nspname) || '.'
               || pg_catalog.quote_ident(coalesce(t.relname, d.typname)) AS holder,
           pg_catalog.quote_ident(n.nspname) || '.'
               || pg_catalog.quote_ident(coalesce(t.relname, d.typname)) AS "table",
           CASE k.contype WHEN 'f' THEN 'foreign key' WHEN 'c' THEN 'check constraint'
                WHEN 'n' THEN 'not-null constraint' ELSE 'constraint' END AS kind,
           pg_catalog.to_jsonb(k) ->> 'conenforced' IS DISTINCT FROM 'false'
               AS is_enforced
      FROM pg_catalog.pg_constraint k
      LEFT JOIN pg_catalog.pg_class t ON t.oid = k.conrelid
      LEFT JOIN pg_catalog.pg_type d ON d.oid = k.contypid
      JOIN pg_catalog.pg_namespace n ON n.oid = coalesce(t.relnamespace, d.typnamespace)
     WHERE NOT k.convalidated
       AND t.relpersistence IS DISTINCT FROM 't'
       AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                        WHERE e.deptype = 'e'
                          AND (e.classid = 'pg_catalog.pg_class'::regclass
                               AND e.objid = t.oid
                               OR e.classid = 'pg_catalog.pg_type'::regclass
                               AND e.objid = d.oid))
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint p
                        WHERE p.oid = k.conparentid AND NOT p.convalidated)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h
                         JOIN pg_catalog.pg_constraint p
                           ON p.conrelid = h.inhparent AND p.conname = k.conname
                        WHERE h.inhrelid = k.conrelid AND k.coninhcount > 0
                          AND NOT p.convalidated)
     ORDER BY 4, 2
"""


async def find(server: Server, limits: Limits) -> Found:  # noqa: ARG001 # it has none
    """List the constraints that hold for new rows alone."""
    rows = await server.rows(NOT_VALID)
    open_ones = [row for row in rows if row["is_enforced"]]
    findings = tuple(
        Finding(
            object=f"{row['table']}.{row['name']}",
            message=f"the {row['kind']} is NOT VALID: rows from before it were never "
            "checked",
            remedy=f"ALTER {row['holder']} VALIDATE CONSTRAINT {row['name']}",
        )
        for row in open_ones
    )
    idle = [f"{row['table']}.{row['name']}" for row in rows if not row["is_enforced"]]
    return Found(
        f"constraints that are NOT VALID: {len(findings)}"
        if findings
        else "every enforced constraint is valid",
        findings,
        (f"not enforced, as they were made: {some(idle)}",) if idle else (),
    )


CHECK = ServerCheck(
    id="D30",
    title="constraints not valid",
    question="Is a constraint not proved for the rows that were there before it?",
    scope="database",
    on="writer",
    find=find,
)
