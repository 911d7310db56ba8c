"""What did the author say may stay as it is, and why?

`-- dbops:ignore RULE[,RULE] reason` belongs to the statement behind or around it;
`# dbops:ignore RULE reason` in a revision's file belongs to the whole revision.
"""

import re
from typing import NamedTuple

from dbops.operations.lint.rules import RULES
from dbops.operations.lint.squawk_rules import OURS, PREFIX
from dbops.operations.lint.statements import Statement

_IGNORE = re.compile(
    r"dbops:ignore\b[ \t]*(?P<rules>[\w-]*(?:[ \t]*,[ \t]*[\w-]+)*)"
    r"[ \t:]*(?P<reason>[^\r\n]*)"
)
_IN_PYTHON = re.compile(r"^[^\r\n'\"]*?#[ \t]*(?=dbops:ignore\b)", re.MULTILINE)
_LETTERS = re.compile(r"\w")


class Ignore(NamedTuple):
    """One comment that asks for silence."""

    rules: tuple[str, ...]
    reason: str
    line: int

    @property
    def unknown(self) -> str | None:
        """Say which rule there is none of; None when all are known."""
        if not self.rules:
            return "it names no rule"
        for name in self.rules:
            if name not in RULES and name not in OURS and not name.startswith(PREFIX):
                return f"there is no rule {name}"
        return None

    @property
    def silences(self) -> set[str]:
        """The rules that it silences: none without a reason."""
        if self.unknown or not self.reason:
            return set()
        return {ours for name in self.rules for ours in OURS.get(name, (name,))}


def in_statement(statement: Statement, sql: str, line: int) -> list[Ignore]:
    """Return what the comments of a statement ask for.

    Args:
        statement: One of the text.
        sql: The text that its tokens count from.
        line: The number of the text's first line.
    """
    return [
        _ignore(found, line + sql.count("\n", 0, comment.start + found.start()))
        for comment in statement.comments
        for found in _IGNORE.finditer(comment.text)
    ]


def in_python(source: str) -> list[Ignore]:
    """Return what the comments of a revision's file ask for."""
    found = []
    for mark in _IN_PYTHON.finditer(source):
        ignore = _IGNORE.match(source, mark.end())
        if ignore is not None:
            found.append(_ignore(ignore, source.count("\n", 0, mark.end()) + 1))
    return found


def _ignore(found: re.Match[str], line: int) -> Ignore:
    rules = tuple(name.strip() for name in found["rules"].split(",") if name.strip())
    reason = found["reason"].replace("*/", "").strip()
    return Ignore(rules, reason if _LETTERS.search(reason) else "", line)
