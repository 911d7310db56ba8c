"""Which table does a statement lock, empty or build anew as a whole?"""

from dbops.operations.lint.action import Action
from dbops.operations.lint.names import names, read_name
from dbops.operations.lint.words import Words


def truncate(words: Words) -> list[Action]:
    """Read TRUNCATE."""
    rest = Words(words[1:])
    return [Action("truncate", rest, name, words=words) for name in names(rest)]


def lock(words: Words) -> list[Action]:
    """Read LOCK TABLE."""
    rest = Words(words[1:])
    return [
        Action("lock", rest, name, words=words)
        for name in names(rest.until(("IN", "NOWAIT")))
    ]


def reindex(words: Words) -> list[Action]:
    """Read REINDEX."""
    rest = Words(words[1:])
    if rest.begins("("):
        rest = Words(rest[len(rest.group()) + 2 :])
    what = rest[0].key.lower() if rest else ""
    read = read_name(Words(rest[1:]))
    return [Action(f"reindex {what}", rest, read and read.name, words=words)]


def vacuum(words: Words) -> list[Action]:
    """Read VACUUM and ANALYZE."""
    rest = Words(words[1:])
    options = rest.group() if rest.begins("(") else Words()
    if options:
        rest = Words(rest[len(options) + 2 :])
    while rest and rest[0].key in ("FULL", "FREEZE", "VERBOSE", "ANALYZE"):
        options, rest = Words([*options, rest[0]]), Words(rest[1:])
    kind = words[0].key.lower()
    found = [Action(kind, options, name, words=words) for name in names(rest)]
    return found or [Action(kind, options, words=words)]


def cluster(words: Words) -> list[Action]:
    """Read CLUSTER."""
    read = read_name(Words(t for t in words[1:] if t.key not in ("(", ")", "VERBOSE")))
    return [Action("cluster", Words(words[1:]), read and read.name, words=words)]


def refresh(words: Words) -> list[Action]:
    """Read REFRESH MATERIALIZED VIEW."""
    body = words.after("VIEW") or Words()
    read = read_name(body)
    return [Action("refresh", body, read and read.name, words=words)]
