"""What is one subcommand of ALTER TABLE?

https://www.postgresql.org/docs/current/sql-altertable.html
"""

from typing import NamedTuple

from dbops.operations.lint.names import read_name, without_noise
from dbops.operations.lint.words import Words

_CONSTRAINT = ("CHECK", "UNIQUE", "PRIMARY", "FOREIGN", "EXCLUDE", "NOT")


class Subcommand(NamedTuple):
    """One subcommand: its kind, the column or constraint, what follows."""

    kind: str
    name: str | None
    body: Words


def read_subcommand(words: Words) -> Subcommand:
    """Read one subcommand; what is not known has the kind `alter table`."""
    match words[0].key if words else "":
        case "ADD":
            return _add(Words(words[1:]))
        case "DROP" | "ALTER" | "RENAME" | "VALIDATE":
            return _named(words)
        case "SET" if words.begins("SET", "SCHEMA"):
            return Subcommand("rename table", None, Words(words[2:]))
        case "ATTACH" | "DETACH":
            return Subcommand(
                f"{words[0].key.lower()} partition", None, Words(words[2:])
            )
        case _:
            return Subcommand("alter table", None, words)


def _add(words: Words) -> Subcommand:
    if words.begins("CONSTRAINT"):
        read = read_name(Words(words[1:]))
        if read is not None:
            return Subcommand("add constraint", read.column, read.rest)
    if words and words[0].key in _CONSTRAINT:
        return Subcommand("add constraint", None, words)
    read = read_name(words)
    if read is None:
        return Subcommand("alter table", None, words)
    return Subcommand("add column", read.column, read.rest)


def _named(words: Words) -> Subcommand:
    verb = words[0].key.lower()
    rest = Words(words[1:])
    if rest.begins("TO"):
        read = read_name(Words(rest[1:]))
        return Subcommand("rename table", read.column if read else None, rest)
    what = "constraint" if rest.begins("CONSTRAINT") else "column"
    if what == "constraint":
        rest = Words(rest[1:])
    read = read_name(without_noise(rest))
    if read is None:
        return Subcommand("alter table", None, words)
    return Subcommand(f"{verb} {what}", read.column, read.rest)
