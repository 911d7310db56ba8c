"""Does a new column bring a constraint that its table must pay for?"""

from dbops.operations.lint.rule import Case, rule
from dbops.operations.lint.rules.defaults import default_of
from dbops.operations.lint.types import SERIAL


@rule(
    "add-column-not-null",
    effect="refused",
    on=("add column",),
    remedy="give it a constant DEFAULT, or add it nullable and SET NOT NULL later",
    source="sql-altertable.html",
)
def _not_null(case: Case) -> str | None:
    body = case.action.body
    is_filled = default_of(body) or body.has("GENERATED") or body[0].value in SERIAL
    if not body.has("NOT", "NULL") or is_filled:
        return None
    return f"it fails as soon as {case.table} has a row: NOT NULL without a DEFAULT"


@rule(
    "add-column-unique",
    effect="scan",
    on=("add column",),
    remedy="ADD COLUMN, CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … "
    "USING INDEX",
    source="sql-altertable.html",
)
def _unique(case: Case) -> str | None:
    body = case.action.body
    if not body.has("UNIQUE") and not body.has("PRIMARY", "KEY"):
        return None
    return f"reads and writes of {case.table} wait until its index is built"


@rule(
    "add-column-check",
    effect="scan",
    on=("add column",),
    remedy="ADD COLUMN, then ADD CONSTRAINT … CHECK … NOT VALID, then VALIDATE "
    "CONSTRAINT in a transaction of its own",
    source="sql-altertable.html#SQL-ALTERTABLE-NOTES",
)
def _check(case: Case) -> str | None:
    if not case.action.body.has("CHECK"):
        return None
    return f"reads and writes of {case.table} wait until every row is checked"
