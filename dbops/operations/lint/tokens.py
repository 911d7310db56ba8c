"""Which words does a piece of SQL consist of?

The lexical rules of PostgreSQL, with standard_conforming_strings on:
https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

Kind = Literal["word", "name", "string", "number", "sign", "comment", "broken"]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<line_comment>--[^\r\n]*)
  | (?P<block_comment>/\*)
  | (?P<string>(?:[bnx]|u&)?'(?:[^']|'')*')
  | (?P<escaped>e'(?:[^'\\]|\\.|'')*')
  | (?P<name>(?:u&)?"(?:[^"]|"")*")
  | (?P<dollar>\$(?:[^\W\d]\w*)?\$)
  | (?P<parameter>\$\d+)
  | (?P<word>[^\W\d][\w$]*)
  | (?P<number>(?:\d[\d_]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)
  | (?P<sign>::|:=|=>|<=|>=|<>|!=|[^\s])
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)

_KINDS: dict[str, Kind] = {
    "line_comment": "comment",
    "string": "string",
    "escaped": "string",
    "name": "name",
    "parameter": "number",
    "word": "word",
    "number": "number",
    "sign": "sign",
}


class Token(NamedTuple):
    """One word of SQL."""

    kind: Kind
    text: str
    """As it is written, quotes included."""
    start: int
    """Where it begins in the whole text."""
    key: str
    """What a keyword is compared by; nothing that is quoted equals a keyword."""

    @property
    def value(self) -> str:
        """An identifier as the server stores it, or what a string says."""
        match self.kind:
            case "word":
                return self.text.lower()
            case "name":
                return self.text[self.text.index('"') + 1 : -1].replace('""', '"')
            case "string" if self.text.startswith("$"):
                length = self.text.index("$", 1) + 1
                return self.text[length:-length]
            case "string":
                return self.text[self.text.index("'") + 1 : -1].replace("''", "'")
            case _:
                return self.text

    @property
    def is_identifier(self) -> bool:
        """Whether it can name something."""
        return self.kind in ("word", "name")


def tokenise(sql: str, start: int = 0) -> Iterator[Token]:
    """Return every token and comment of `sql`, in order.

    A quote or a comment that does not end is one `broken` token up to the end.
    """
    while start < len(sql):
        found = _TOKEN.match(sql, start)
        assert found is not None  # a sign is any character  # noqa: S101
        kind, end = found.lastgroup, found.end()
        if kind == "space":
            start = end
            continue
        token = _token(sql, kind or "sign", start, end)
        yield token
        start += len(token.text)


def _token(sql: str, kind: str, start: int, end: int) -> Token:
    text = sql[start:end]
    if kind == "block_comment":
        return _block_comment(sql, start)
    if kind == "dollar":
        close = sql.find(text, end)
        if close >= 0:
            return _made("string", sql[start : close + len(text)], start)
    if kind == "dollar" or (kind == "sign" and text in ("'", '"')):
        return _made("broken", sql[start:], start)
    return _made(_KINDS[kind], text, start)


def _made(kind: Kind, text: str, start: int) -> Token:
    return Token(kind, text, start, text.upper() if kind == "word" else text)


def _block_comment(sql: str, start: int) -> Token:
    """Read a comment to its end; PostgreSQL nests them."""
    depth = 0
    for mark in re.compile(r"/\*|\*/").finditer(sql, start):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return _made("comment", sql[start : mark.end()], start)
    return _made("broken", sql[start:], start)
