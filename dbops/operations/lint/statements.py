"""Where does one statement end and the next one begin?"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dbops.operations.lint.tokens import Token, tokenise
from dbops.operations.lint.words import Words

_META_COMMAND = re.compile(r"\\[^\r\n]*")
_END_OF_COPY = re.compile(r"^\\\.[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True)
class Statement:
    """One statement and what surrounds it."""

    text: str
    """Without its comments in front and its semicolon."""
    line: int
    """Where it begins; the first line is 1."""
    words: Words
    comments: tuple[Token, ...] = ()
    """Those in front of it, in it, and behind it on its last line."""
    transaction: int | None = None
    """Statements of one transaction share a number; None outside of any."""
    problem: str | None = field(default=None, kw_only=True)
    """Why it cannot be read to its end."""


def split(sql: str, line: int = 1) -> list[Statement]:
    """Return the statements of `sql`; `line` is the number of its first line."""
    found: list[Statement] = []
    for tokens in _runs(sql):
        words = Words(token for token in tokens if token.kind != "comment")
        comments = tuple(token for token in tokens if token.kind == "comment")
        if not words:
            if comments:
                start = comments[0].start
                at = line + sql.count("\n", 0, start)
                found.append(Statement("", at, words, comments))
            continue
        start, last = words[0].start, words[-1]
        text = sql[start : last.start + len(last.text)]
        at = line + sql.count("\n", 0, start)
        found.append(Statement(text, at, words, comments, problem=_problem(words)))
    return found


def _problem(words: Words) -> str | None:
    if words[-1].kind == "broken":
        return "a quote or a comment in it does not end"
    opened = sum(token.key == "(" for token in words)
    if opened != sum(token.key == ")" for token in words):
        return "its parentheses do not match"
    return None


def _runs(sql: str) -> Iterator[list[Token]]:
    """Return the tokens of each statement, without the semicolon."""
    start = 0
    while start < len(sql):
        tokens, start = _run(sql, start)
        if tokens:
            yield tokens


def _run(sql: str, start: int) -> tuple[list[Token], int]:
    """Read one statement and return where the next one begins."""
    tokens: list[Token] = []
    keys: list[str] = []
    depth = bodies = 0
    end = start
    for token in tokenise(sql, start):
        end = token.start + len(token.text)
        if token.key == "\\" and not keys:
            meta = _META_COMMAND.match(sql, token.start)
            return tokens, meta.end() if meta else end
        if token.key == ";" and depth <= 0 and bodies <= 0:
            return _with_comment_behind(sql, tokens, end, keys)
        tokens.append(token)
        if token.kind == "comment":
            continue
        depth += (token.key == "(") - (token.key == ")")
        # A body in standard SQL has semicolons of its own: BEGIN ATOMIC … END.
        if keys[:1] == ["CREATE"]:
            bodies += token.key == "ATOMIC" and keys[-1] == "BEGIN"
            bodies += bodies > 0 and token.key == "CASE"
            bodies -= bodies > 0 and token.key == "END"
        keys.append(token.key)
    return tokens, len(sql)


def _with_comment_behind(
    sql: str, tokens: list[Token], end: int, keys: Sequence[str]
) -> tuple[list[Token], int]:
    if keys[:1] == ["COPY"] and "STDIN" in keys:
        data = _END_OF_COPY.search(sql, end)
        return tokens, data.end() if data else end
    behind = next(tokenise(sql, end), None)
    if (
        behind is not None
        and behind.text.startswith("--")
        and "\n" not in sql[end : behind.start]
    ):
        return [*tokens, behind], behind.start + len(behind.text)
    return tokens, end
