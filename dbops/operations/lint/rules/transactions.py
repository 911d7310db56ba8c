"""Does what is safe alone become dangerous in one transaction?"""

from dbops.operations.lint.locks import Lock
from dbops.operations.lint.rule import Case, rule
from dbops.operations.lint.transactions import cannot_be_in_a_transaction

_LOCKS = "explicit-locking.html"


@rule(
    "concurrently-in-transaction",
    effect="refused",
    remedy="run it outside of a transaction (Alembic: with "
    "op.get_context().autocommit_block())",
    source="sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY",
    for_new_tables=True,
)
def _concurrently_in_transaction(case: Case) -> str | None:
    if case.statement.transaction is None:
        return None
    if not cannot_be_in_a_transaction(case.action.words):
        return None
    return "the server refuses it inside a transaction block"


@rule(
    "several-tables-locked",
    effect="lock",
    severity="warn",
    remedy="one table in each revision",
    source=_LOCKS + "#LOCKING-DEADLOCKS",
)
def _several_tables_locked(case: Case) -> str | None:
    if case.lock is not Lock.ACCESS_EXCLUSIVE:
        return None
    locked = [c for c in case.in_same_transaction if c.lock is Lock.ACCESS_EXCLUSIVE]
    before = {c.locked_table for c in locked if c.statement is not case.statement}
    # Said once for each transaction.
    if len(before) != 1 or case.locked_table in {c.locked_table for c in locked}:
        return None
    other = next(iter(before))
    return f"{other} stays locked while {case.table} is waited for: a deadlock is near"


@rule(
    "ddl-and-dml",
    effect="lock",
    severity="warn",
    remedy="change the schema in one revision and the rows in another",
    source=_LOCKS,
    for_new_tables=True,
)
def _ddl_and_dml(case: Case) -> str | None:
    if not case.changes_rows and not _locks(case):
        return None
    before = case.in_same_transaction
    if _is_said(before):
        return None
    if case.changes_rows and (locking := _locking(before)):
        return f"{locking.table} stays locked while the rows are changed"
    if _locks(case) and any(c.changes_rows for c in before):
        return f"the rows stay locked while {case.table} is waited for"
    return None


def _locks(case: Case) -> bool:
    return case.lock >= Lock.SHARE and case.action.kind != "lock"


def _locking(cases: list[Case]) -> Case | None:
    return next((case for case in cases if _locks(case)), None)


def _is_said(cases: list[Case]) -> bool:
    return _locking(cases) is not None and any(case.changes_rows for case in cases)
