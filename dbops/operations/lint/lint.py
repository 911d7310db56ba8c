"""What would a change lock, rewrite, break or lose?"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import get_args

from typing_extensions import override

from dbops.endpoint import Role
from dbops.engine.connect import Connectors
from dbops.errors import DbopsError
from dbops.operations.lint.facts import facts
from dbops.operations.lint.finding import Finding, Source
from dbops.operations.lint.judge import judge
from dbops.operations.lint.known import Known
from dbops.operations.lint.names import Name, read_name
from dbops.operations.lint.reading import actions, statements
from dbops.operations.lint.squawk import installed, squawk
from dbops.results import Checked, Measure, Result, Status, worst
from dbops.settings.model import FailOn, Severity


class Linted(Result):
    """What was found, in the order of the SQL."""

    judged: tuple[str, ...]
    """The revisions or files that were judged; empty when nothing is pending."""
    findings: tuple[Finding, ...]
    """What to change; a rule is named once for a statement."""
    sizes_from: str | None
    """`reader` or `writer`; null when no server told how large the tables are."""
    has_squawk: bool
    """Whether squawk was asked too."""

    @override
    def checked(self) -> Sequence[Checked]:
        if not self.judged:
            said = "nothing is there to judge"
            return [Checked("lint", "lint", Status.OK, said)]
        return [self._about(name) for name in self.judged]

    @override
    def headline(self) -> str:
        found = [it for it in self.checked() if it.status is not Status.OK]
        if not found:
            return f"nothing to change in {', '.join(self.judged) or 'what is pending'}"
        return "; ".join(it.summary for it in found)

    @override
    def measures(self) -> Sequence[Measure]:
        counted = Counter(it.severity for it in self.findings)
        about = "What to change before it runs in production."
        return [
            Measure("lint_findings", counted[it], labels={"severity": it}, about=about)
            for it in get_args(Severity)
        ]

    def _about(self, name: str) -> Checked:
        found = [it for it in self.findings if called(it) == name]
        status = worst(Status(it.severity) for it in found)
        said = f"{name}: nothing to change"
        if found:
            rules = ", ".join(dict.fromkeys(it.rule for it in found))
            said = f"{name}: {len(found)} to change: {rules}"
        details = [f"line {it.line}: {it.rule}: {it.message}" for it in found]
        return Checked(name, name, status, said, details)


async def lint(
    sources: Sequence[Source],
    connectors: Connectors | None = None,
    *,
    fail_on: FailOn = "fail",
    style: bool = False,
    is_past: bool = False,
    on_notice: Callable[[str], None] = lambda _: None,
) -> Linted:
    """Judge some SQL: by our rules, by squawk where it is installed.

    Args:
        sources: Revisions or files, in the order in which they run.
        connectors: How to ask how large the tables are; None asks nobody.
        fail_on: The severity from which the verdict is FAIL.
        style: Whether squawk's matters of taste count too.
        is_past: Whether the database may have these changes already: then only the
            sizes of its tables are believed.
        on_notice: Told what could not be asked.
    """
    known, asked = None, None
    if connectors is not None and sources:
        known, asked = await _asked(connectors, sources, on_notice)
    if known is not None and is_past:
        known = known.sizes_alone()
    found = judge(sources, known)
    sources = [source for source in sources if not source.is_earlier]
    program = installed()
    if program is None:
        on_notice("note: squawk is not installed, so only our own rules are asked")
    else:
        found += await squawk(program, sources, style=style)
    order = {called(source): place for place, source in enumerate(sources)}
    found.sort(key=lambda it: (order[called(it)], it.line))
    return Linted(
        status=_status(found, fail_on),
        judged=tuple(order),
        findings=tuple(found),
        sizes_from=asked,
        has_squawk=program is not None,
    )


def called(what: Source | Finding) -> str:
    """Return what a source is called, or the source of a finding."""
    return what.revision or what.path or "standard input"


async def _asked(
    connectors: Connectors,
    sources: Sequence[Source],
    on_notice: Callable[[str], None],
) -> tuple[Known | None, Role | None]:
    """Ask the reader, or else the writer, about the tables that are named."""
    roles: list[Role] = ["reader"] if connectors.settings.has_reader else []
    for role in (*roles, "writer"):
        try:
            return await facts(connectors.connector(role), _names(sources)), role
        except DbopsError as error:
            on_notice(f"note: no sizes from the {role}: {error.message}")
    return None, None


def _names(sources: Sequence[Source]) -> set[Name]:
    found: set[Name] = set()
    for source in sources:
        for statement in statements(source):
            for action, _ in actions(statement):
                if action.table is not None:
                    found.add(action.table)
                if action.kind == "attach partition":
                    read = read_name(action.body)
                    found |= {read.name} if read else set()
    return found


def _status(found: Sequence[Finding], fail_on: FailOn) -> Status:
    if any(finding.severity in ("fail", fail_on) for finding in found):
        return Status.FAIL
    return Status.WARN if found else Status.OK
