"""Which table, index or column is meant?"""

from typing import NamedTuple

from typing_extensions import override

from dbops.operations.lint.words import Words

_NOISE = (
    ("IF", "NOT", "EXISTS"),
    ("IF", "EXISTS"),
    ("CONCURRENTLY",),
    ("ONLY",),
    ("TABLE",),
    ("COLUMN",),
)


class Name(NamedTuple):
    """A name as the server stores it; the schema may be left to the search_path."""

    schema: str | None
    name: str

    @override
    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


class Read(NamedTuple):
    """A name, and the words behind it."""

    name: Name
    rest: Words

    @property
    def column(self) -> str:
        """The name where it has no schema."""
        return self.name.name


def read_name(words: Words) -> Read | None:
    """Read `[IF EXISTS] [ONLY] [schema.]name`; None where no name stands."""
    words = without_noise(words)
    parts: list[str] = []
    at = 0
    while at < len(words) and words[at].is_identifier:
        parts.append(words[at].value)
        at += 1
        if not words.begins(".", at=at):
            break
        at += 1
    if not parts:
        return None
    schema = parts[-2] if len(parts) > 1 else None
    # `name *` asks for the children too, which is the default.
    at += words.begins("*", at=at)
    return Read(Name(schema, parts[-1]), Words(words[at:]))


def names(words: Words) -> list[Name]:
    """Read the names of a list with commas."""
    return [read.name for part in words.split() if (read := read_name(part))]


def columns(words: Words) -> tuple[str, ...]:
    """Return the columns in the first parentheses; an expression is an empty one."""
    found = []
    for part in words.group().split():
        read = read_name(part)
        plain = read is not None and not read.rest.begins("(")
        found.append(read.column if read is not None and plain else "")
    return tuple(found)


def without_noise(words: Words) -> Words:
    """Leave out what may stand in front of a name."""
    while True:
        for keys in _NOISE:
            if words.begins(*keys) and len(words) > len(keys):
                words = Words(words[len(keys) :])
                break
        else:
            return words
