"""What does a server know of the tables that are going to change?"""

from collections.abc import Iterable

from dbops.engine.connect import Connection, Connector
from dbops.operations.lint.known import Known
from dbops.operations.lint.names import Name
from dbops.operations.lint.table import Table, expression
from dbops.operations.lint.tokens import tokenise
from dbops.operations.lint.types import read_type
from dbops.operations.lint.words import Words

# reltuples is -1 before the first VACUUM or ANALYZE; a partitioned table's partitions
# count. https://www.postgresql.org/docs/current/catalog-pg-class.html
TABLES = """
    WITH named AS (
        SELECT n.schema, n.name, c.oid, i.indrelid
          FROM unnest($1::text[], $2::text[]) AS n (schema, name)
          JOIN pg_catalog.pg_class c
            ON c.oid = pg_catalog.to_regclass(
                   pg_catalog.quote_ident(n.schema) || '.'
                   || pg_catalog.quote_ident(n.name))
          LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
    )
    SELECT t.oid::int8 AS oid, s.nspname AS schema, t.relname AS name,
           array_agg(n.name) FILTER (WHERE n.indrelid IS NOT NULL) AS indexes,
           (SELECT CASE WHEN bool_or(p.reltuples < 0) THEN NULL
                        ELSE sum(p.reltuples)::int8 END
              FROM pg_catalog.pg_class p
             WHERE p.oid = t.oid AND p.relkind <> 'p'
                OR p.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(t.oid)
                              WHERE isleaf)) AS rows,
           (SELECT sum(pg_catalog.pg_total_relation_size(p.oid))::int8
              FROM pg_catalog.pg_class p
             WHERE p.oid = t.oid
                OR p.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(t.oid)))
               AS size_bytes,
           t.relkind = 'p' AS is_partitioned
      FROM named n
      JOIN pg_catalog.pg_class t ON t.oid = coalesce(n.indrelid, n.oid)
      JOIN pg_catalog.pg_namespace s ON s.oid = t.relnamespace
     WHERE t.relkind IN ('r', 'p', 'm')
     GROUP BY t.oid, s.nspname, t.relname, t.relkind
"""
COLUMNS = """
    SELECT attrelid::int8 AS oid, attname AS name, attnotnull AS is_not_null,
           pg_catalog.format_type(atttypid, atttypmod) AS type
      FROM pg_catalog.pg_attribute
     WHERE attrelid = ANY ($1::oid[]) AND attnum > 0 AND NOT attisdropped
"""
CHECKS = """
    SELECT conrelid::int8 AS oid, conname AS name, convalidated AS is_valid,
           pg_catalog.pg_get_expr(conbin, conrelid) AS expression
      FROM pg_catalog.pg_constraint
     WHERE conrelid = ANY ($1::oid[]) AND contype IN ('c', 'f')
"""
INDEXES = """
    SELECT i.indrelid::int8 AS oid, c.relname AS name,
           ARRAY(SELECT coalesce(a.attname, '')
                   FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
                   LEFT JOIN pg_catalog.pg_attribute a
                     ON a.attrelid = i.indrelid AND a.attnum = k.number
                  WHERE k.place <= i.indnkeyatts
                  ORDER BY k.place) AS columns
      FROM pg_catalog.pg_index i
      JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid = ANY ($1::oid[]) AND i.indisvalid AND i.indpred IS NULL
"""
DOMAINS = """
    SELECT typname AS name
      FROM pg_catalog.pg_type t
     WHERE t.typtype = 'd'
       AND (t.typnotnull OR EXISTS (
               SELECT FROM pg_catalog.pg_constraint c WHERE c.contypid = t.oid))
"""
SESSION = """
    SELECT pg_catalog.current_setting('TimeZone') IN ('UTC', 'Etc/UTC', 'GMT')
               AS in_utc,
           coalesce(pg_catalog.current_schema(), 'public') AS schema
"""


async def facts(connector: Connector, names: Iterable[Name]) -> Known:
    """Ask a server for what it knows of these tables and indexes.

    Args:
        connector: The reader where there is one: nothing is changed.
        names: Tables and indexes; those that do not exist are left out.

    Raises:
        DbopsError: As `Connector.__call__`.
    """
    async with connector.session() as connection:
        session = await connection.fetchrow(SESSION)
        assert session is not None  # the query has no FROM  # noqa: S101
        known = Known(schema=session["schema"], in_utc=session["in_utc"])
        full = sorted({known.full(name) for name in names})
        domains = await connection.fetch(DOMAINS)
        known.strict_domains = {row["name"] for row in domains}
        by_oid = await _tables(connection, full, known)
        await _columns(connection, by_oid)
        await _checks(connection, by_oid)
        await _indexes(connection, by_oid)
    return known


async def _tables(
    connection: Connection, names: list[Name], known: Known
) -> dict[int, Table]:
    by_oid: dict[int, Table] = {}
    schemas = [name.schema for name in names]
    rows = await connection.fetch(TABLES, schemas, [name.name for name in names])
    for row in rows:
        name = Name(row["schema"], row["name"])
        table = Table(
            rows=row["rows"],
            size_bytes=row["size_bytes"],
            has_known_indexes=True,
            is_partitioned=row["is_partitioned"],
        )
        by_oid[row["oid"]] = known.tables[name] = table
        for index in row["indexes"] or ():
            known.index_tables[index] = name
    return by_oid


async def _columns(connection: Connection, by_oid: dict[int, Table]) -> None:
    for row in await connection.fetch(COLUMNS, list(by_oid)):
        table, name = by_oid[row["oid"]], row["name"]
        table.columns[name] = read_type(Words(tokenise(row["type"])))
        if row["is_not_null"]:
            table.not_null.add(name)


async def _checks(connection: Connection, by_oid: dict[int, Table]) -> None:
    for row in await connection.fetch(CHECKS, list(by_oid)):
        table = by_oid[row["oid"]]
        where = table.checks if row["is_valid"] else table.unproved
        where[row["name"]] = expression(Words(tokenise(row["expression"] or "")))


async def _indexes(connection: Connection, by_oid: dict[int, Table]) -> None:
    for row in await connection.fetch(INDEXES, list(by_oid)):
        by_oid[row["oid"]].indexes[row["name"]] = tuple(row["columns"])
