"""What does a source do, one action after another?"""

from collections.abc import Iterator
from dataclasses import replace

from dbops.operations.lint.action import Action
from dbops.operations.lint.actions import read_actions
from dbops.operations.lint.blocks import inner
from dbops.operations.lint.finding import Source
from dbops.operations.lint.ignores import Ignore, in_statement
from dbops.operations.lint.known import Known
from dbops.operations.lint.locks import Lock, lock_of
from dbops.operations.lint.rule import INDEX_KINDS, Case
from dbops.operations.lint.statements import Statement, split
from dbops.operations.lint.transactions import (
    begins_transaction,
    ends_transaction,
    in_transactions,
    is_concurrent,
)
from dbops.operations.lint.words import Words


def statements(source: Source) -> list[Statement]:
    """Return the statements of a source, each in its transaction."""
    found = split(source.sql, source.line)
    return in_transactions(found, begun=_begun(source, found))


def cases(
    source: Source, found: list[Statement], known: Known
) -> Iterator[tuple[Case, Statement]]:
    """Yield each action, and the statement that it stands in, before it is learnt.

    Args:
        source: Where it is from.
        found: Its statements.
        known: What is known before the first; after the last, what is known then.
    """
    read = [
        (action, part, statement)
        for statement in found
        for action, part in actions(statement)
    ]
    final = known.only(action.table for action, _, _ in read if action.table)
    for action, _, _ in read:
        final.learn(action)
    earlier: list[Case] = []
    for action, part, statement in read:
        is_new = _is_new(action, known)
        lock = Lock.NONE if is_new else lock_of(action)
        parallel = is_concurrent(action.words)
        case = Case(action, part, known, final, is_new, lock, parallel, earlier)
        yield case, statement
        earlier.append(case)
        known.learn(action)
    if source.problem is not None:
        yield _unread(source, known, found), _last(source, found)


def misused(
    ignores: list[Ignore], statement: Statement, known: Known
) -> Iterator[Case]:
    """Yield the comments that ask for silence and do not get it."""
    for ignore in ignores:
        problem = ignore.unknown
        kind = "ignore of no rule" if problem else "ignore without reason"
        if problem is None and ignore.reason:
            continue
        action = Action(kind, Words(), name=problem or "it gives no reason")
        at = replace(statement, line=ignore.line)
        yield Case(action, at, known, known, is_on_new_table=False)


def ignores(statement: Statement, source: Source) -> list[Ignore]:
    """Return what the comments of a statement ask for."""
    return in_statement(statement, source.sql, source.line)


def actions(statement: Statement) -> Iterator[tuple[Action, Statement]]:
    """Yield what a statement does, and where: of a block, each statement in it."""
    if not statement.words:
        return
    if statement.problem is not None:
        yield _opaque("unread", statement.problem), statement
        return
    if statement.words[0].key != "DO":
        for action in read_actions(statement.words):
            yield action, statement
        return
    parts, reason = inner(statement)
    for part in parts:
        for action in read_actions(part.words):
            yield action, part
    if reason is not None:
        yield _opaque("opaque", reason), statement


def _opaque(kind: str, reason: str) -> Action:
    return Action(kind, Words(), name=reason)


def _unread(source: Source, known: Known, found: list[Statement]) -> Case:
    action = _opaque("unread", source.problem or "")
    return Case(action, _last(source, found), known, known, is_on_new_table=False)


def _last(source: Source, found: list[Statement]) -> Statement:
    line = found[-1].line if found else source.line
    return Statement("", line, Words())


def _is_new(action: Action, known: Known) -> bool:
    """Whether nobody else uses what the action is done to, as it is just made."""
    if action.table is not None and action.kind in INDEX_KINDS:
        index = action.table.name
        table = known.index_tables.get(index)
        return index in known.new_indexes or known.is_new(table)
    return known.is_new(action.table)


def _begun(source: Source, found: list[Statement]) -> bool | None:
    """Say whether a transaction is open before the first statement."""
    if source.transactional is not False:
        return source.transactional
    # It leaves its transaction on the way; what is rendered may say where.
    for statement in found:
        if begins_transaction(statement.words):
            return False
        if ends_transaction(statement.words):
            return True
    return False
