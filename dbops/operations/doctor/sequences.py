"""How far is each sequence, and what does it end at?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dbops.operations.doctor.objects import name, ours
from dbops.operations.doctor.sequence_state import SequenceState
from dbops.operations.doctor.servers import Server

# The narrowest integer column that a sequence fills is its limit too: the one that owns
# it, or one whose default names it. Whoever holds a stronger lock would make the whole
# question wait; an unlogged sequence is no file on a standby.
# https://www.postgresql.org/docs/current/catalog-pg-sequence.html
# https://www.postgresql.org/docs/current/catalog-pg-depend.html
# pg_sequence: PostgreSQL 10 and newer; unlogged sequences from 15 on.
SEQUENCES = f"""
    SELECT s.seqrelid AS oid, {name("s.seqrelid")} AS name,
           s.seqcycle AS is_cycling,
           r.relnamespace::pg_catalog.regnamespace::text AS schema,
           s.seqmin AS low, s.seqmax AS high, s.seqstart AS start,
           s.seqincrement AS step,
           pg_catalog.has_sequence_privilege(s.seqrelid, 'SELECT, USAGE') AS may_read,
           s.seqrelid IN (
               SELECT l.relation FROM pg_catalog.pg_locks l
                 JOIN pg_catalog.pg_database d ON d.oid = l.database
                WHERE d.datname = pg_catalog.current_database()
                  AND l.relation IS NOT NULL
                  AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock',
                                 'ExclusiveLock', 'AccessExclusiveLock')) AS is_locked
      FROM pg_catalog.pg_sequence s
      JOIN pg_catalog.pg_class r ON r.oid = s.seqrelid
     WHERE {ours("r")}
       AND (r.relpersistence <> 'u' OR NOT pg_catalog.pg_is_in_recovery())
     ORDER BY 2
"""  # noqa: S608 # a constant
COLUMNS = f"""
    WITH filled AS (
        SELECT d.objid AS sequence, d.refobjid AS "table", d.refobjsubid AS number,
               true AS is_owner
          FROM pg_catalog.pg_depend d
          JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
         WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objsubid = 0
           AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjsubid > 0
           AND d.deptype IN ('a', 'i')
        UNION ALL
        SELECT d.refobjid, a.adrelid, a.adnum, false
          FROM pg_catalog.pg_depend d
          JOIN pg_catalog.pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
          JOIN pg_catalog.pg_attrdef a ON a.oid = d.objid
         WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass
           AND d.refclassid = 'pg_catalog.pg_class'::regclass
    )
    SELECT DISTINCT ON (f.sequence) f.sequence AS oid, {name('f."table"')} AS "table",
           pg_catalog.quote_ident(a.attname) AS "column", b.typlen::int AS width,
           a.attidentity <> '' AS is_identity
      FROM filled f
      JOIN pg_catalog.pg_class t
        ON t.oid = f."table" AND t.relkind IN ('r', 'p') AND t.relpersistence <> 't'
      JOIN pg_catalog.pg_attribute a
        ON a.attrelid = f."table" AND a.attnum = f.number
      JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
      JOIN pg_catalog.pg_type b ON b.oid = coalesce(nullif(y.typbasetype, 0), y.oid)
     WHERE b.oid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
     ORDER BY f.sequence, b.typlen, f.is_owner DESC, t.relispartition, 2
"""  # noqa: S608 # a constant

# Without SELECT or USAGE this is an error in 17 and older, which would end the whole
# question. Each sequence is locked until its end, and locks are few.
# https://www.postgresql.org/docs/current/runtime-config-locks.html
LAST_VALUES = """
    SELECT c.oid, @value@ AS value
      FROM pg_catalog.pg_class c
     WHERE c.oid = ANY ($1::oid[]) AND c.relkind = 'S'
"""
# It is NULL until the first nextval(), also after setval(…, false) and RESTART: from 18
# on the value to begin with can be had by OID. To read it by name before would run
# whatever view somebody puts in the sequence's place meanwhile.
_VALUE = {
    False: "pg_catalog.pg_sequence_last_value(c.oid::regclass)",
    True: """coalesce(pg_catalog.pg_sequence_last_value(c.oid::regclass),
        (SELECT d.last_value
           FROM pg_catalog.pg_get_sequence_data(c.oid::regclass) d))""",
}
_VALUE_SINCE = 18
_AT_ONCE = 500


async def sequences(server: Server) -> list[SequenceState]:
    """Return every sequence, and where it is if that may be read."""
    rows = await server.rows(SEQUENCES)
    oids = [it["oid"] for it in rows if it["may_read"] and not it["is_locked"]]
    values: dict[int, int | None] = {}
    query = LAST_VALUES.replace("@value@", _VALUE[server.major >= _VALUE_SINCE])
    for some in _batches(oids):
        values |= {it["oid"]: it["value"] for it in await server.rows(query, some)}
    columns = {row["oid"]: row for row in await server.rows(COLUMNS)}
    return [
        _state({**_NO_COLUMN, **columns.get(it["oid"], {}), **it}, values)
        for it in rows
    ]


_NO_COLUMN = {"table": None, "column": None, "width": None, "is_identity": False}


def _state(row: dict[str, Any], values: Mapping[int, int | None]) -> SequenceState:
    oid = row.pop("oid")
    value = values.get(oid)
    is_fresh = value is None and oid in values
    return SequenceState(
        value=row["start"] if is_fresh else value, is_fresh=is_fresh, **row
    )


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(items), _AT_ONCE):
        yield items[first : first + _AT_ONCE]
