"""In which transaction does a statement run, and may it?"""

from collections.abc import Sequence
from dataclasses import replace

from dbops.operations.lint.statements import Statement
from dbops.operations.lint.words import Words

# What the manual pages say "cannot be executed inside a transaction block".
_ALONE = (
    ("CREATE", "DATABASE"),
    ("DROP", "DATABASE"),
    ("CREATE", "TABLESPACE"),
    ("DROP", "TABLESPACE"),
    ("ALTER", "SYSTEM"),
    ("VACUUM",),
    ("REINDEX", "DATABASE"),
    ("REINDEX", "SCHEMA"),
    ("REINDEX", "SYSTEM"),
)
# CREATE UNIQUE INDEX CONCURRENTLY, REINDEX (VERBOSE, CONCURRENTLY) TABLE
_FRONT = 8
_BEGIN = (("BEGIN",), ("START", "TRANSACTION"))
_END = (("COMMIT",), ("END",), ("ROLLBACK",), ("ABORT",))


def cannot_be_in_a_transaction(words: Words) -> bool:
    """Whether the server refuses the statement inside a transaction block."""
    if any(words.begins(*keys) for keys in _ALONE):
        return True
    if words.begins("ALTER", "TABLE"):
        return words.has("DETACH", "PARTITION") and words.has("CONCURRENTLY")
    return is_concurrent(words)


def is_concurrent(words: Words) -> bool:
    """Whether a statement on indexes says CONCURRENTLY, also as an option."""
    if not words or words[0].key not in ("CREATE", "DROP", "REINDEX"):
        return False
    return any(token.key == "CONCURRENTLY" for token in words[:_FRONT])


def in_transactions(
    statements: Sequence[Statement], *, begun: bool | None
) -> list[Statement]:
    """Say of each statement in which transaction it runs.

    Args:
        statements: In order.
        begun: Whether a transaction is open before the first one. None where nobody
            says: then it is, as migration tools do, unless the text begins its own or
            has a statement that is refused in one.
    """
    if begun is None:
        begun = not any(
            begins_transaction(statement.words)
            or cannot_be_in_a_transaction(statement.words)
            for statement in statements
            if statement.words
        )
    found: list[Statement] = []
    number, is_open = 1, begun
    for statement in statements:
        if begins_transaction(statement.words):
            number, is_open = number + (not is_open), True
        found.append(replace(statement, transaction=number if is_open else None))
        if ends_transaction(statement.words):
            number, is_open = number + 1, False
    return found


def begins_transaction(words: Words) -> bool:
    """Whether it opens a transaction."""
    return _is(words, _BEGIN)


def ends_transaction(words: Words) -> bool:
    """Whether it ends a transaction, and not only a part of it."""
    return _is(words, _END) and not words.has("TO")


def is_control(words: Words) -> bool:
    """Whether the statement only begins or ends a transaction, or sets something."""
    return _is(words, (*_BEGIN, *_END, ("SET",), ("RESET",), ("SAVEPOINT",)))


def _is(words: Words, kinds: Sequence[tuple[str, ...]]) -> bool:
    return any(words.begins(*keys) for keys in kinds)
