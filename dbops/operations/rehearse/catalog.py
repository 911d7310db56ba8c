"""Which tables and indexes are there, and in which files?"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

# pg_relation_filenode tells a table that was rewritten; the catalog's own number does
# not stand for every relation.
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBLOCATION
RELATIONS = r"""
SELECT c.oid::int8, c.relkind::text, n.nspname || '.' || c.relname,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
       coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)::int8,
       coalesce(i.indrelid, 0)::int8
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
 WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f', 'i', 'I')
   AND c.relpersistence <> 't'
   AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""


class Relation(NamedTuple):
    """A table, view or index of the user's."""

    oid: int
    kind: str
    plain_name: str
    """Not quoted, as Alembic names its version table."""
    name: str
    file: int
    """The number of its file; 0 for what has none."""
    table: int
    """The table of an index; 0 for everything else."""

    @property
    def is_index(self) -> bool:
        """Whether it is an index."""
        return bool(self.table)


class Catalog(NamedTuple):
    """All relations at one instant, by oid."""

    relations: Mapping[int, Relation]

    @classmethod
    def of(cls, rows: Iterable[Iterable[Any]]) -> "Catalog":
        """Read the answer to RELATIONS."""
        found = (Relation(*row) for row in rows)
        return cls({relation.oid: relation for relation in found})

    def without(self, plain_name: str) -> "Catalog":
        """Leave out one table, and its indexes."""
        gone = {it.oid for it in self.relations.values() if it.plain_name == plain_name}
        kept = {
            oid: it
            for oid, it in self.relations.items()
            if oid not in gone and it.table not in gone
        }
        return Catalog(kept)


class Change(NamedTuple):
    """What became of the relations; names, sorted."""

    rewritten: tuple[str, ...]
    rebuilt: tuple[str, ...]
    created: tuple[str, ...]
    dropped: tuple[str, ...]


def change(before: Catalog, after: Catalog) -> Change:
    """Compare two instants.

    An index is told of for itself only where its table tells nothing.
    """
    old, new = before.relations, after.relations
    moved = {
        oid
        for oid in old.keys() & new.keys()
        if new[oid].file and old[oid].file
        if new[oid].file != old[oid].file
    }
    rewritten = {oid for oid in moved if not new[oid].is_index}
    rebuilt = {
        new[oid].name for oid in moved - rewritten if new[oid].table not in rewritten
    }
    created = _names(
        new[oid]
        for oid in new.keys() - old.keys()
        if new[oid].table not in new.keys() - old.keys()
    )
    dropped = _names(
        old[oid]
        for oid in old.keys() - new.keys()
        if old[oid].table not in old.keys() - new.keys()
    )
    # REINDEX CONCURRENTLY builds another one and gives it the name.
    indexes = {it.name for it in (*old.values(), *new.values()) if it.is_index}
    rebuilt |= created & dropped & indexes
    return Change(
        rewritten=_sorted(new[oid].name for oid in rewritten),
        rebuilt=_sorted(rebuilt),
        created=_sorted(created - rebuilt),
        dropped=_sorted(dropped - rebuilt),
    )


def _names(relations: Iterable[Relation]) -> set[str]:
    return {relation.name for relation in relations}


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))
