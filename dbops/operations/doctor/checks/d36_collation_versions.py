"""Does the collation library still sort as it did when the indexes were built?

An index on text whose order has changed misses rows, and lets duplicates in. Each
server sorts by its own library, the reader too.
"""

from typing import Any

from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import Found, Limits, ServerCheck
from dbops.operations.doctor.objects import name, ours, some
from dbops.operations.doctor.servers import Server

# https://www.postgresql.org/docs/current/sql-alterdatabase.html
# https://www.postgresql.org/docs/current/catalog-pg-database.html
# datcollversion: PostgreSQL 15 and newer.
DATABASE = """
    SELECT pg_catalog.quote_ident(d.datname) AS name, d.datcollversion AS recorded,
           pg_catalog.pg_database_collation_actual_version(d.oid) AS actual,
           d.datcollate AS locale
      FROM pg_catalog.pg_database d
     WHERE d.datname = pg_catalog.current_database()
"""
_DATABASE_SINCE = 15

# Hundreds come with the server; only those that an index is sorted by, or that somebody
# has made, are looked up in their library.
# https://www.postgresql.org/docs/current/sql-altercollation.html#SQL-ALTERCOLLATION-NOTES
# pg_collation: PostgreSQL 10 and newer.
COLLATIONS = f"""
    WITH used AS (
        SELECT u.id, pg_catalog.array_agg({name("i.indexrelid")}) AS indexes
          FROM pg_catalog.pg_index i
          JOIN pg_catalog.pg_class t ON t.oid = i.indrelid AND t.relkind <> 'p'
         CROSS JOIN LATERAL (SELECT DISTINCT s.id
                               FROM pg_catalog.unnest(i.indcollation::oid[]) AS s (id)
                              WHERE s.id NOT IN (0, 100)) AS u
         WHERE {ours("t")}
         GROUP BY u.id
    ), meant AS MATERIALIZED (
        SELECT c.oid, c.collversion, u.indexes,
               pg_catalog.quote_ident(n.nspname) || '.'
                   || pg_catalog.quote_ident(c.collname) AS name
          FROM pg_catalog.pg_collation c
          JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
          LEFT JOIN used u ON u.id = c.oid
         WHERE c.collprovider <> 'd' AND c.collversion IS NOT NULL
           AND (u.indexes IS NOT NULL OR n.nspname <> 'pg_catalog')
    )
    SELECT m.name, m.collversion AS recorded,
           pg_catalog.pg_collation_actual_version(m.oid) AS actual,
           coalesce(m.indexes, '{{}}') AS indexes
      FROM meant m
     ORDER BY m.name
"""  # noqa: S608 # a constant
_STABLE = ("C", "POSIX", "C.UTF-8", "C.utf8")
_FEW = 5


async def find(server: Server, limits: Limits) -> Found:  # noqa: ARG001 # it has none
    """Compare the recorded versions with those of the server's libraries."""
    database = None
    if server.major >= _DATABASE_SINCE:
        database = await server.row(DATABASE)
    collations = [it for it in await server.rows(COLLATIONS) if _differs(it)]
    findings = [_finding(it, server, database) for it in collations]
    if database is not None and _differs(database):
        findings.insert(0, _of_database(database, server))
    return Found(
        f"collations whose version has changed: {len(findings)}"
        if findings
        else "every collation has the version that was recorded",
        tuple(findings),
        _notes(database),
    )


def _differs(row: dict[str, Any]) -> bool:
    known = row["recorded"] is not None and row["actual"] is not None
    return known and row["recorded"] != row["actual"]


def _notes(database: dict[str, Any] | None) -> tuple[str, ...]:
    if database is None or database["locale"] in _STABLE:
        return ()
    if database["actual"] is None:
        why = "its library tells none"
    elif database["recorded"] is None:
        why = "none was recorded"
    else:
        return ()
    return (f"the database's collation has no version to compare: {why}",)


def _of_database(row: dict[str, Any], server: Server) -> Finding:
    database = row["name"]
    remedy = (
        f"REINDEX DATABASE CONCURRENTLY {database}; "
        f"ALTER DATABASE {database} REFRESH COLLATION VERSION"
    )
    return Finding(
        object=database,
        message=f"the database's collation is of version {row['recorded']}, and the "
        f"{server.role}'s library has {row['actual']}: {_CONSEQUENCE}",
        remedy=None if server.is_standby else remedy,
    )


_CONSEQUENCE = "indexes on text may be out of order, and miss rows"


def _finding(
    row: dict[str, Any], server: Server, database: dict[str, Any] | None
) -> Finding:
    collation, indexes = row["name"], row["indexes"]
    rebuilt = [f"REINDEX INDEX CONCURRENTLY {it}" for it in indexes]
    if len(indexes) > _FEW and database is not None:
        rebuilt = [f"REINDEX DATABASE CONCURRENTLY {database['name']}"]
    remedy = "; ".join([*rebuilt, f"ALTER COLLATION {collation} REFRESH VERSION"])
    sorted_by = f"{_CONSEQUENCE}: {some(indexes)}" if indexes else "no index uses it"
    return Finding(
        object=collation,
        message=f"the collation is of version {row['recorded']}, and the "
        f"{server.role}'s library has {row['actual']}; {sorted_by}",
        remedy=None if server.is_standby else remedy,
        severity=Severity.WARN if indexes else Severity.INFO,
    )


CHECK = ServerCheck(
    id="D36",
    title="collation versions",
    question="Does the collation library still sort as it did when the indexes were "
    "built?",
    scope="database",
    on="each",
    find=find,
)
