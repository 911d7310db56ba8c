"""Does a constraint read the whole table under a lock?"""

from dbops.operations.lint.actions import read_actions
from dbops.operations.lint.locks import Lock, lock_of
from dbops.operations.lint.names import read_name
from dbops.operations.lint.rule import Case, rule
from dbops.operations.lint.table import Table
from dbops.operations.lint.words import Words

_NOTES = "sql-altertable.html#SQL-ALTERTABLE-NOTES"
_IN_TWO_STEPS = (
    "ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT in a transaction of its own"
)
_BY_INDEX = "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … USING INDEX"


@rule(
    "add-check",
    effect="scan",
    on=("add constraint",),
    remedy=_IN_TWO_STEPS,
    source=_NOTES,
)
def _add_check(case: Case) -> str | None:
    body = case.action.body
    if not body.begins("CHECK") or body.has("NOT", "VALID"):
        return None
    return f"reads and writes of {case.table} wait until every row is checked"


@rule(
    "add-unique",
    effect="scan",
    on=("add constraint",),
    remedy=_BY_INDEX,
    source="sql-altertable.html",
)
def _add_unique(case: Case) -> str | None:
    body = case.action.body
    if not body.begins("UNIQUE") or body.has("USING", "INDEX"):
        return None
    return f"reads and writes of {case.table} wait until its index is built"


@rule(
    "add-primary-key",
    effect="scan",
    on=("add constraint",),
    remedy=_BY_INDEX + ", on columns that are NOT NULL",
    source="sql-altertable.html",
)
def _add_primary_key(case: Case) -> str | None:
    body = case.action.body
    if not body.begins("PRIMARY", "KEY") or body.has("USING", "INDEX"):
        return None
    return f"reads and writes of {case.table} wait until its index is built"


@rule(
    "add-exclusion",
    effect="scan",
    on=("add constraint",),
    remedy="there is no way without the lock: choose a quiet time, or a new table",
    source="sql-altertable.html",
)
def _add_exclusion(case: Case) -> str | None:
    if not case.action.body.begins("EXCLUDE"):
        return None
    return f"reads and writes of {case.table} wait until its index is built"


@rule(
    "set-not-null",
    effect="scan",
    on=("alter column", "add constraint"),
    remedy="ADD CONSTRAINT … CHECK (… IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT in a "
    "transaction of its own, then SET NOT NULL, then DROP CONSTRAINT",
    source="sql-altertable.html",
)
def _set_not_null(case: Case) -> str | None:
    table = case.known.table(case.action.table) or Table()
    if all(table.proves_not_null(column) for column in _made_not_null(case, table)):
        return None
    return f"reads and writes of {case.table} wait until every row is checked"


def _made_not_null(case: Case, table: Table) -> tuple[str, ...]:
    """Return the columns that become NOT NULL."""
    body = case.action.body
    if case.action.kind == "alter column":
        is_made = body.begins("SET", "NOT", "NULL")
        return (case.action.name or "",) if is_made else ()
    if index := body.after("PRIMARY", "KEY", "USING", "INDEX"):
        return table.indexes.get(index[0].value, ())
    # From 18 on: https://www.postgresql.org/docs/18/release-18.html
    read = read_name(Words(body[2:])) if body.begins("NOT", "NULL") else None
    return () if read is None or body.has("NOT", "VALID") else (read.column,)


@rule(
    "validate-in-same-transaction",
    effect="scan",
    on=("validate constraint",),
    remedy="COMMIT in between: VALIDATE CONSTRAINT in a revision of its own",
    source=_NOTES,
)
def _validate_in_same_transaction(case: Case) -> str | None:
    # All subcommands of one ALTER TABLE run under the strongest lock of them.
    locks = [lock_of(action) for action in read_actions(case.action.words)]
    locks += [
        earlier.lock
        for earlier in case.in_same_transaction
        if earlier.locked_table == case.locked_table
    ]
    if max(locks) < Lock.SHARE:
        return None
    return f"{case.table} is read under a lock that others wait for"
