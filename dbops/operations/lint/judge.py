"""What is wrong with some SQL? Statements in, findings out."""

from collections.abc import Iterable, Iterator

from dbops.operations.lint import reading
from dbops.operations.lint.finding import Finding, Source
from dbops.operations.lint.ignores import in_python
from dbops.operations.lint.known import Known
from dbops.operations.lint.origin import path_line
from dbops.operations.lint.rule import Case, Rule
from dbops.operations.lint.rules import RULES
from dbops.operations.lint.statements import Statement
from dbops.operations.lint.weight import weighed
from dbops.operations.lint.words import Words

_LONGEST = 200


def judge(sources: Iterable[Source], known: Known | None = None) -> list[Finding]:
    """Judge each source by itself, in order.

    Args:
        sources: Revisions or files; a later one knows the tables of an earlier one, but
            not as empty.
        known: What a server has said about the tables; it is learnt on.
    """
    known = known or Known()
    found: list[Finding] = []
    for source in sources:
        known.next_revision()
        judged = _once(_judged(source, known))
        found += [] if source.is_earlier else judged
    return found


def _once(found: Iterable[Finding]) -> list[Finding]:
    """Keep one finding of a rule for each statement: the worst, or else the first."""
    kept: dict[tuple[int, str, str], Finding] = {}
    for finding in found:
        key = (finding.line, finding.rule, finding.statement)
        if key not in kept or kept[key].severity == "warn":
            kept[key] = finding
    return list(kept.values())


def _judged(source: Source, known: Known) -> Iterator[Finding]:
    statements = reading.statements(source)
    everywhere = in_python(source.python) if source.python else []
    silent = {name for ignore in everywhere for name in ignore.silences}
    nowhere = Statement("", source.line, Words())
    for case in reading.misused(everywhere, nowhere, known):
        yield from _findings(case, source, silent)
    for statement in statements:
        said = reading.ignores(statement, source)
        for case in reading.misused(said, statement, known):
            yield from _findings(case, source, silent)
    for case, statement in reading.cases(source, statements, known):
        part = case.statement
        said = reading.ignores(part, source)
        here = {name for ignore in said for name in ignore.silences}
        if part is not statement:
            own = said[len(reading.ignores(statement, source)) :]
            own = [ignore._replace(line=part.line) for ignore in own]
            for misused in reading.misused(own, part, known):
                yield from _findings(misused, source, silent)
        yield from _findings(case, source, silent | here)


def _findings(case: Case, source: Source, silent: set[str]) -> Iterator[Finding]:
    for rule in RULES.values():
        if rule.id in silent or (rule.on and case.action.kind not in rule.on):
            continue
        if case.is_on_new_table and not rule.for_new_tables:
            continue
        message = rule.judge(case)
        if message is not None:
            yield _finding(rule, message, case, source)


def _finding(rule: Rule, message: str, case: Case, source: Source) -> Finding:
    name = case.waited_for
    table = case.known.table(name)
    if table is not None and table.size_bytes is not None:
        # Otherwise nobody knows where a name without a schema leads.
        name = case.locked_table
    severity = weighed(rule.effect, rule.severity, table)
    # What nobody could read is not taken for harmless.
    if case.action.kind == "unread":
        severity = "fail"
    return Finding(
        revision=source.revision,
        path=source.path,
        rule=rule.id,
        severity=severity,
        statement=shortened(case.statement.text),
        message=message,
        remedy=rule.remedy,
        line=case.statement.line,
        path_line=path_line(source, case.statement),
        table=str(name) if name else None,
        rows=table.rows if table else None,
        size_bytes=table.size_bytes if table else None,
        source=rule.source,
    )


def shortened(text: str) -> str:
    """Return a statement on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
