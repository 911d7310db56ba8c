"""Which rows does a statement change?"""

from dbops.operations.lint.action import Action
from dbops.operations.lint.names import read_name
from dbops.operations.lint.words import Words


def changed_rows(words: Words) -> list[Action]:
    """Read UPDATE, DELETE, INSERT and MERGE."""
    kind = words[0].key
    body = Words(words[1:])
    if kind in ("DELETE", "INSERT", "MERGE"):
        body = Words(body[1:])
    read = read_name(body)
    if read is None:
        return [Action(kind.lower(), body, words=words)]
    return [Action(kind.lower(), read.rest, read.name, words=words)]


def with_rows(words: Words) -> list[Action]:
    """Read WITH: the statements in its parts that change rows."""
    found: list[Action] = []
    for at, token in enumerate(words):
        starts = token.key in ("UPDATE", "DELETE", "INSERT", "MERGE")
        if starts and (words[at - 1].key in ("(", ")")):
            found += changed_rows(_to_the_end(Words(words[at:])))
    return found or [Action("with", Words(words[1:]), words=words)]


def _to_the_end(words: Words) -> Words:
    """Cut where the parenthesis that was open before closes."""
    depth = 0
    for at, token in enumerate(words):
        depth += (token.key == "(") - (token.key == ")")
        if depth < 0:
            return Words(words[:at])
    return words


def copy(words: Words) -> list[Action]:
    """Read COPY."""
    read = read_name(Words(words[1:]))
    is_into = read is not None and read.rest.has("FROM")
    return [
        Action(
            "copy from" if is_into else "copy to",
            read.rest if read else words,
            read and read.name,
            words=words,
        )
    ]
