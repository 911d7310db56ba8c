"""What does squawk say that our own rules do not?"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from dbops.operations.lint import reading
from dbops.operations.lint.finding import Finding, Source
from dbops.operations.lint.ignores import in_python
from dbops.operations.lint.judge import shortened
from dbops.operations.lint.origin import path_line
from dbops.operations.lint.squawk_rules import PREFIX, is_told
from dbops.operations.lint.statements import Statement

_DOCUMENTATION = "https://squawkhq.com/docs/"


class Said(NamedTuple):
    """One thing that squawk says."""

    source: int
    line: int
    rule: str
    message: str
    remedy: str


def findings(
    said: Sequence[Said], sources: Sequence[Source], *, style: bool
) -> Iterator[Finding]:
    """Return what our own rules do not say, and no comment ignores.

    Args:
        said: What squawk says.
        sources: What it was asked about.
        style: Whether matters of taste count too.
    """
    for number, group in groupby(sorted(said), lambda one: one.source):
        source = sources[number]
        statements = reading.statements(source)
        everywhere = in_python(source.python) if source.python else []
        for one in _first_on_each_line(group):
            if not is_told(one.rule, style=style):
                continue
            statement = _at(statements, one.line + source.line - 1)
            ignores = [*everywhere, *reading.ignores(statement, source)]
            name = PREFIX + one.rule
            if not any(name in ignore.silences for ignore in ignores):
                yield _finding(name, one, source, statement)


def _first_on_each_line(group: Iterator[Said]) -> Iterator[Said]:
    """Leave out what follows from a mistake that squawk has named already."""
    seen: set[tuple[int, str]] = set()
    for one in group:
        if (one.line, one.rule) not in seen:
            seen.add((one.line, one.rule))
            yield one


def _at(statements: Sequence[Statement], line: int) -> Statement:
    """Return the statement that a line belongs to."""
    before = [statement for statement in statements if statement.line <= line]
    return (before or statements)[-1 if before else 0]


def _finding(name: str, one: Said, source: Source, statement: Statement) -> Finding:
    return Finding(
        revision=source.revision,
        path=source.path,
        rule=name,
        severity="warn",
        statement=shortened(statement.text),
        message=" ".join(one.message.split()),
        remedy=" ".join(one.remedy.split()),
        line=one.line + source.line - 1,
        path_line=path_line(source, statement),
        source=_DOCUMENTATION + one.rule,
    )
