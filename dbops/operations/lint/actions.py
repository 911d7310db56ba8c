"""What does a statement do, and to which table?

One statement may be several actions: each subcommand of ALTER TABLE is one, each table
of DROP TABLE is one. https://www.postgresql.org/docs/current/sql-commands.html
"""

from collections.abc import Callable

from dbops.operations.lint import rows, upkeep
from dbops.operations.lint.action import Action
from dbops.operations.lint.alter_table import read_subcommand
from dbops.operations.lint.names import Name, names, read_name, without_noise
from dbops.operations.lint.words import Words

_ON_TABLE = ("TRIGGER", "POLICY", "RULE", "STATISTICS")
_PREFIXES = frozenset(
    """
    OR REPLACE UNIQUE CONSTRAINT MATERIALIZED FOREIGN EVENT TEMP TEMPORARY UNLOGGED
    GLOBAL LOCAL RECURSIVE
    """.split()  # noqa: SIM905 # words read best as words
)


def read_actions(words: Words) -> list[Action]:
    """Return what a statement does; what is not known is one action of its own."""
    if not words:
        return []
    reader = _READERS.get(words[0].key, _other)
    return reader(words)


def _alter(words: Words) -> list[Action]:
    at = 1 + words.begins("MATERIALIZED", at=1) + words.begins("FOREIGN", at=1)
    kind = " ".join(token.key.lower() for token in words[: at + 1])
    rest = Words(words[at + 1 :])
    if rest.begins("ALL", "IN", "TABLESPACE"):
        return [Action(f"{kind} all", rest, words=words)]
    read = read_name(rest)
    if read is None:
        return [Action(kind, rest, words=words)]
    if kind != "alter table":
        return [Action(kind, read.rest, read.name, words=words)]
    found = []
    for part in read.rest.split():
        sub, name, body = read_subcommand(part)
        found.append(Action(sub, body, read.name, name, words))
    return found


def _create(words: Words) -> list[Action]:
    at = 1
    while at < len(words) - 1 and words[at].key in _PREFIXES:
        at += 1
    what = words[at].key if at < len(words) else ""
    rest = Words(words[at + 1 :])
    kind = f"create {what.lower()}"
    if what == "VIEW" and words.has("MATERIALIZED"):
        kind = "create materialized view"
    if what == "INDEX":
        return [_create_index(words, rest)]
    read = read_name(rest)
    if read is None:
        return [Action(kind, rest, words=words)]
    if what in _ON_TABLE and (on := _on_table(read.rest)):
        return [Action(kind, read.rest, on, read.column, words)]
    return [Action(kind, read.rest, read.name, read.column, words)]


def _create_index(words: Words, rest: Words) -> Action:
    named = without_noise(rest)
    read = None if named.begins("ON") else read_name(named)
    body = (read.rest if read else named).after("ON") or Words()
    table = read_name(body)
    return Action(
        "create index",
        table.rest if table else body,
        table.name if table else None,
        read.column if read else None,
        words,
    )


def _on_table(rest: Words) -> Name | None:
    # A rule is ON an event TO a table, a trigger is ON a table.
    behind = rest.after("TO") if rest.begins("AS") else rest.after("ON")
    behind = behind or rest.after("FROM")
    read = read_name(behind) if behind else None
    return read.name if read else None


def _drop(words: Words) -> list[Action]:
    at = 1 + (words.begins("MATERIALIZED", at=1) or words.begins("FOREIGN", at=1))
    kind = " ".join(token.key.lower() for token in words[: at + 1])
    rest = Words(words[at + 1 :])
    if kind in ("drop trigger", "drop policy", "drop rule"):
        read = read_name(rest)
        on = _on_table(read.rest) if read else None
        return [Action(kind, rest, on, words=words)]
    found = names(rest)
    return [Action(kind, rest, name, words=words) for name in found] or [
        Action(kind, rest, words=words)
    ]


def _other(words: Words) -> list[Action]:
    kind = " ".join(t.key.lower() for t in words[:2] if t.kind == "word")
    return [Action(kind, Words(words[1:]), words=words)]


def _single(words: Words) -> list[Action]:
    return [Action(words[0].key.lower(), Words(words[1:]), words=words)]


_READERS: dict[str, Callable[[Words], list[Action]]] = {
    "ALTER": _alter,
    "CREATE": _create,
    "DROP": _drop,
    "TRUNCATE": upkeep.truncate,
    "LOCK": upkeep.lock,
    "REINDEX": upkeep.reindex,
    "VACUUM": upkeep.vacuum,
    "CLUSTER": upkeep.cluster,
    "REFRESH": upkeep.refresh,
    "UPDATE": rows.changed_rows,
    "DELETE": rows.changed_rows,
    "INSERT": rows.changed_rows,
    "MERGE": rows.changed_rows,
    "WITH": rows.with_rows,
    "COPY": rows.copy,
    "DO": _single,
    "CALL": _single,
    "SET": _single,
    "SELECT": _single,
}
