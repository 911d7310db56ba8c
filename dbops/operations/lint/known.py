"""What is known of the tables: from the server, and from the statements before?"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field

from dbops.operations.lint.action import Action
from dbops.operations.lint.names import Name, columns, read_name
from dbops.operations.lint.table import Table, changed
from dbops.operations.lint.words import Words

_TABLE_CONSTRAINT = ("CHECK", "UNIQUE", "PRIMARY", "FOREIGN", "EXCLUDE", "LIKE")


@dataclass
class Known:
    """The tables, as far as they are known, and what this revision has made."""

    tables: dict[Name, Table] = field(default_factory=dict)
    schema: str = "public"
    """Where names without a schema lead."""
    in_utc: bool | None = None
    """Whether the session's TimeZone is UTC."""
    new: set[Name] = field(default_factory=set)
    """Relations and types of this revision: nobody else uses them yet."""
    new_indexes: set[str] = field(default_factory=set)
    index_tables: dict[str, Name] = field(default_factory=dict)
    strict_domains: set[str] = field(default_factory=set)
    """Domains with a constraint."""
    policies: set[Name] = field(default_factory=set)
    is_past: bool = False
    """Whether the tables are known as they are after what is judged."""

    def __post_init__(self) -> None:
        """Remember how a session begins."""
        self._session = self.schema, self.in_utc

    def only(self, names: Iterable[Name]) -> "Known":
        """Return what is known of some tables, to be learnt on by itself."""
        full = {self.full(name) for name in names}
        tables = {name: self.tables[name] for name in full if name in self.tables}
        return Known(deepcopy(tables), self.schema)

    def sizes_alone(self) -> "Known":
        """Return the sizes: what else is known may be the work of what is judged."""
        sizes = {
            name: Table(rows=table.rows, size_bytes=table.size_bytes)
            for name, table in self.tables.items()
        }
        return Known(sizes, self.schema, self.in_utc, is_past=True)

    def next_revision(self) -> None:
        """Forget what is new, for the next one finds it in use; and what was SET."""
        self.new, self.new_indexes = set(), set()
        self.schema, self.in_utc = self._session

    def full(self, name: Name) -> Name:
        """Return a name with its schema."""
        return Name(name.schema or self.schema, name.name)

    def table(self, name: Name | None) -> Table | None:
        """Return what is known of a table."""
        return None if name is None else self.tables.get(self.full(name))

    def is_new(self, name: Name | None) -> bool:
        """Whether this revision has made it."""
        return name is not None and self.full(name) in self.new

    def learn(self, action: Action) -> None:
        """Take in what an action changes."""
        kind, name = action.kind, action.table
        if kind == "set":
            self._set(action.body)
        if name is None:
            return
        name = self.full(name)
        match kind:
            case "create table" | "create materialized view" | "create view":
                self._created(name, action)
            case "create type" | "create domain":
                self._typed(name, action)
            case "create index":
                self._indexed(name, action.name or "", columns(action.body))
            case "create policy":
                self.policies.add(name)
            case "drop table":
                self.tables.pop(name, None)
                self.new.discard(name)
            case "rename table":
                self._renamed(name, action)
            case _:
                changed(self.tables.setdefault(name, Table()), action)

    def _typed(self, name: Name, action: Action) -> None:
        self.new.add(name)
        if action.body.has("CHECK") or action.body.has("NOT", "NULL"):
            self.strict_domains.add(name.name)

    def _set(self, body: Words) -> None:
        words = Words(t for t in body if t.key not in ("LOCAL", "SESSION"))
        if words.begins("SEARCH_PATH") and len(words) > 2:  # noqa: PLR2004 # SEARCH_PATH TO x
            self.schema = words[2].value
        zone = words.after("TIME", "ZONE") or words.after("TIMEZONE")
        if zone:
            self.in_utc = zone[-1].value.upper() in ("UTC", "GMT", "ETC/UTC")

    def _created(self, name: Name, action: Action) -> None:
        is_kept = action.words.has("IF", "NOT", "EXISTS") and name in self.tables
        if is_kept and not self.is_past:
            return
        self.new.add(name)
        if action.kind != "create table":
            return
        table = self.tables[name] = self._empty(name)
        table.is_partitioned = action.body.has("PARTITION", "BY")
        if not action.body.begins("("):
            return
        for part in action.body.group().split():
            named = part.begins("CONSTRAINT")
            constraint = Words(part[2:]) if named else part
            if constraint and constraint[0].key in _TABLE_CONSTRAINT:
                own = part[1].value if named else None
                added = Action("add constraint", constraint, name, own)
            elif (read := read_name(part)) is not None:
                added = Action("add column", read.rest, name, read.column)
            else:
                continue
            changed(table, added)

    def _empty(self, name: Name) -> Table:
        """Return a new table; what has become of it since is known of a past one."""
        now = self.tables.get(name) if self.is_past else None
        return Table(
            rows=now.rows if now else None,
            size_bytes=now.size_bytes if now else None,
            has_known_indexes=True,
        )

    def _indexed(self, name: Name, index: str, key: tuple[str, ...]) -> None:
        self.index_tables[index] = name
        self.new_indexes.add(index)
        table = self.tables.setdefault(name, Table())
        table.indexes[index or f"#{len(table.indexes)}"] = key

    def _renamed(self, name: Name, action: Action) -> None:
        if action.name is None:
            return
        new = Name(name.schema, action.name)
        if name in self.tables:
            self.tables[new] = self.tables.pop(name)
        if name in self.new:
            self.new.add(new)
            self.new.discard(name)
