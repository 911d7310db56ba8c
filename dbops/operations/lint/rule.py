"""What is a rule, and what does it look at?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from dbops.operations.lint.action import Action
from dbops.operations.lint.known import Known
from dbops.operations.lint.locks import Lock
from dbops.operations.lint.names import Name, read_name
from dbops.operations.lint.statements import Statement
from dbops.settings.model import Severity

Effect = Literal["rewrite", "scan", "lock", "loss", "break", "refused", "unseen"]
"""What a finding is about: the table is rewritten or scanned under a lock that others
wait for, such a lock is taken at all, data is lost, running code breaks, the server
refuses, or nobody can tell beforehand."""

_ROWS = ("update", "delete", "insert", "merge", "copy from")
INDEX_KINDS = ("drop index", "alter index", "reindex index")
MANUAL = "https://www.postgresql.org/docs/current/"


@dataclass(frozen=True)
class Case:
    """One action, and what surrounds it."""

    action: Action
    statement: Statement
    known: Known
    """Before the action, while it is judged."""
    final: Known
    """The tables that the text names, after its last statement."""
    is_on_new_table: bool
    """Whether the same text made what it acts on."""
    lock: Lock = Lock.NONE
    """The lock that it takes on a table that others use."""
    is_concurrent: bool = False
    """Whether it is an index statement that says CONCURRENTLY."""
    earlier: Sequence["Case"] = ()
    """What the text has done before."""

    @property
    def table(self) -> str:
        """The table's name, for a message."""
        return str(self.action.table or "the table")

    @cached_property
    def is_bookkeeping(self) -> bool:
        """Whether it is Alembic's own note of the version."""
        return "VERSION_NUM" in self.action.words.keys

    @cached_property
    def changes_rows(self) -> bool:
        """Whether it changes rows of a table in use, and perhaps many of them."""
        action = self.action
        if action.kind not in _ROWS or self.is_bookkeeping:
            return False
        if action.kind == "insert":
            # Rows that a revision brings along are few.
            return action.body.has("SELECT") and action.body.has("FROM")
        return not self.is_on_new_table

    @cached_property
    def locked_table(self) -> Name | None:
        """The table that others wait for, with its schema."""
        name = self.waited_for
        return self.known.full(name) if name else None

    @cached_property
    def waited_for(self) -> Name | None:
        """The table that others wait for: of an index, its table where it is known."""
        action, known = self.action, self.known
        name = action.table
        if name is not None and action.kind in INDEX_KINDS:
            name = known.index_tables.get(name.name, name)
        if action.kind == "attach partition":
            read = read_name(action.body)
            name = read.name if read else name
        if parent := action.body.after("PARTITION", "OF"):
            read = read_name(parent)
            name = read.name if read else name
        return name

    @property
    def in_same_transaction(self) -> "list[Case]":
        """What the same transaction has done before."""
        number = self.statement.transaction
        if number is None:
            return []
        return [case for case in self.earlier if case.statement.transaction == number]


Judge = Callable[[Case], str | None]


@dataclass(frozen=True)
class Rule:
    """One rule: what it looks for, and what to do instead."""

    id: str
    effect: Effect
    severity: Severity
    """Where the table's size does not decide."""
    on: frozenset[str]
    """The kinds of action that it judges; empty for all."""
    remedy: str
    """The safer way."""
    source: str
    """Where the manual says so."""
    for_new_tables: bool = False
    """Whether it judges tables, too, that the same text has made."""
    judge: Judge = field(kw_only=True)
    """Returns what is wrong in one sentence; None when nothing is."""


RULES: dict[str, Rule] = {}
"""Every rule by its id."""


def rule(
    name: str,
    *,
    effect: Effect,
    severity: Severity = "fail",
    on: Sequence[str] = (),
    remedy: str,
    source: str,
    for_new_tables: bool = False,
) -> Callable[[Judge], Judge]:
    """Register a function as a rule."""

    def register(judge: Judge) -> Judge:
        page = source if source.startswith("https:") else MANUAL + source
        RULES[name] = Rule(
            name,
            effect,
            severity,
            frozenset(on),
            remedy,
            page,
            for_new_tables,
            judge=judge,
        )
        return judge

    return register
