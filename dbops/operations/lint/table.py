"""What is known of one table, and what does a subcommand change in it?"""

from dataclasses import dataclass, field

from dbops.operations.lint.action import Action
from dbops.operations.lint.names import columns, read_name
from dbops.operations.lint.types import Type, read_type
from dbops.operations.lint.words import Words

_INDEXING = (("PRIMARY", "KEY"), ("UNIQUE",))


@dataclass
class Table:
    """One table; what is not said is not known."""

    rows: int | None = None
    """As the planner estimates; None when the table was never analysed."""
    size_bytes: int | None = None
    """With its indexes and TOAST."""
    columns: dict[str, Type] = field(default_factory=dict)
    not_null: set[str] = field(default_factory=set)
    checks: dict[str, str] = field(default_factory=dict)
    """Constraint → its expression; only those that hold for every row."""
    unproved: dict[str, str] = field(default_factory=dict)
    """Constraint → its expression; those that are NOT VALID yet."""
    indexes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Index → its columns."""
    has_known_indexes: bool = False
    """Whether there are no other indexes."""
    is_partitioned: bool = False
    """Whether its rows are in partitions."""

    def proves_not_null(self, column: str) -> bool:
        """Whether a valid CHECK lets SET NOT NULL skip its scan."""
        wanted = f"{column} IS NOT NULL"
        return column in self.not_null or any(
            wanted in (part.strip("() ") for part in expression.split(" AND "))
            for expression in self.checks.values()
            if " OR " not in expression
        )

    def has_index_on(self, key: tuple[str, ...]) -> bool:
        """Whether an index begins with these columns, in whatever order."""
        return any(set(i[: len(key)]) == set(key) for i in self.indexes.values())


def changed(table: Table, action: Action) -> None:
    """Take in what a subcommand changes in its table."""
    body, name = action.body, action.name or ""
    match action.kind:
        case "add column":
            table.columns[name] = read_type(body)
            if body.has("NOT", "NULL") or body.has("PRIMARY", "KEY"):
                table.not_null.add(name)
            if any(body.has(*keys) for keys in _INDEXING):
                table.indexes[f"#{len(table.indexes)}"] = (name,)
        case "add constraint":
            _constrained(table, name or f"#{len(table.checks)}", body)
        case "validate constraint" if name in table.unproved:
            table.checks[name] = table.unproved.pop(name)
        case "drop constraint":
            table.checks.pop(name, None)
            table.unproved.pop(name, None)
            table.indexes.pop(name, None)
        case _:
            _changed_column(table, action)


def _changed_column(table: Table, action: Action) -> None:
    body, name = action.body, action.name or ""
    match action.kind:
        case "drop column":
            table.columns.pop(name, None)
            table.not_null.discard(name)
        case "rename column" if (to := body.after("TO")) and name in table.columns:
            table.columns[to[0].value] = table.columns.pop(name)
        case "alter column" if new := body.after("TYPE"):
            table.columns[name] = read_type(new)
        case "alter column" if body.begins("SET", "NOT", "NULL"):
            table.not_null.add(name)
        case "alter column" if body.begins("DROP", "NOT", "NULL"):
            table.not_null.discard(name)
        case _:
            pass


def _constrained(table: Table, name: str, body: Words) -> None:
    where = table.unproved if body.has("NOT", "VALID") else table.checks
    if body.begins("CHECK"):
        where[name] = expression(body.group())
    elif body.begins("FOREIGN"):
        where[name] = ""
    elif body.begins("NOT", "NULL") and (read := read_name(Words(body[2:]))):
        where[name] = f"{read.column} IS NOT NULL"
    elif any(body.begins(*keys) for keys in _INDEXING):
        table.indexes[name] = columns(body)
        if body.begins("PRIMARY"):
            table.not_null.update(columns(body))


def expression(words: Words) -> str:
    """Write an expression so that it can be compared with another."""
    return " ".join(
        token.value if token.is_identifier and token.key not in _KEYWORDS else token.key
        for token in words
    )


_KEYWORDS = ("IS", "NOT", "NULL", "AND", "OR")
