"""What does a DO block run?

https://www.postgresql.org/docs/current/plpgsql-control-structures.html
"""

from dataclasses import replace

from dbops.operations.lint.statements import Statement, split
from dbops.operations.lint.tokens import Token
from dbops.operations.lint.words import Words

_STARTS = """
    ALTER CALL CLUSTER COMMENT COPY CREATE DELETE DROP EXECUTE GRANT INSERT LOCK MERGE
    PERFORM REFRESH REINDEX REVOKE SET TRUNCATE UPDATE VACUUM WITH
""".split()  # noqa: SIM905 # words read best as words
_OPENS = ("BEGIN", "THEN", "ELSE", "LOOP")
_BUILT_IN = ("pg_", "set_config", "setval", "nextval", "format", "count")


def inner(statement: Statement) -> tuple[list[Statement], str | None]:
    """Return the statements in a DO block, and why they may not be all of it."""
    words = statement.words
    body = next((token for token in words if token.kind == "string"), None)
    language = words.after("LANGUAGE")
    if body is None:
        return [], "a block without a body"
    if language and language[0].value not in ("plpgsql", "sql"):
        return [], f"what {language[0].value} does cannot be seen here"
    return _statements(statement, body)


def _statements(around: Statement, body: Token) -> tuple[list[Statement], str | None]:
    found: list[Statement] = []
    reason: str | None = None
    for part in split(body.value, _line(around, body)):
        words = _without_control(part.words)
        if not words:
            continue
        if words[0].key == "PERFORM":
            reason = reason or _called(words)
        elif words[0].key == "EXECUTE":
            text = _constant(words)
            if text is None:
                reason = reason or "SQL that it puts together cannot be seen here"
                continue
            here = _behind(part, words)
            more, why = _statements(here, text)
            found += more
            reason = reason or why
        else:
            found.append(_behind(part, words))
    comments, number = around.comments, around.transaction
    return [
        replace(one, comments=(*comments, *one.comments), transaction=number)
        for one in found
    ], reason


def _without_control(words: Words) -> Words:
    """Return the statement behind IF … THEN, LOOP and the like; nothing if none."""
    for at, token in enumerate(words):
        opens = at == 0 or words[at - 1].key in _OPENS
        if opens and token.key in _STARTS:
            return Words(words[at:])
    return Words()


def _constant(words: Words) -> Token | None:
    """Return the string behind EXECUTE; None where it is put together."""
    behind = words[2:3]
    is_whole = not behind or behind[0].key in ("INTO", "USING")
    is_constant = len(words) > 1 and words[1].kind == "string" and is_whole
    return words[1] if is_constant else None


def _called(words: Words) -> str | None:
    """Say that a function is called which is not one of the server's own."""
    called = [
        token.value
        for at, token in enumerate(words[:-1])
        if token.is_identifier and words.begins("(", at=at + 1)
    ]
    for name in called[:1]:
        if not name.startswith(_BUILT_IN):
            return f"what {name}() does cannot be seen here"
    return None


def _behind(part: Statement, words: Words) -> Statement:
    """Return the statement that is left of a part without its control words."""
    offset = words[0].start - part.words[0].start
    line = part.line + part.text.count("\n", 0, offset)
    return replace(part, words=words, text=part.text[offset:], line=line)


def _line(around: Statement, body: Token) -> int:
    """Return the line that the body begins on."""
    offset = body.start - around.words[0].start
    return around.line + around.text.count("\n", 0, offset)
