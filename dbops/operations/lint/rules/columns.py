"""Does a new or changed column rewrite its table?"""

from dbops.operations.lint.rule import Case, rule
from dbops.operations.lint.rules.defaults import default_of
from dbops.operations.lint.types import SERIAL, read_type
from dbops.operations.lint.volatile import volatile_call

_NOTES = "sql-altertable.html#SQL-ALTERTABLE-NOTES"
_BACKFILL = (
    "ADD COLUMN without it, SET DEFAULT for the rows to come, then fill the old rows "
    "in batches"
)


@rule(
    "add-column-volatile-default",
    effect="rewrite",
    on=("add column",),
    remedy=_BACKFILL,
    source=_NOTES,
)
def _volatile_default(case: Case) -> str | None:
    call = volatile_call(default_of(case.action.body))
    if call is None:
        return None
    return (
        f"{case.table} is rewritten under ACCESS EXCLUSIVE: {call}() is volatile, or "
        "not known not to be"
    )


@rule(
    "add-column-serial",
    effect="rewrite",
    on=("add column",),
    remedy="ADD COLUMN bigint, create a sequence, SET DEFAULT nextval(…), then fill "
    "the old rows in batches",
    source=_NOTES,
)
def _serial(case: Case) -> str | None:
    first = case.action.body[:1]
    if not first or first[0].value not in SERIAL:
        return None
    return f"{case.table} is rewritten under ACCESS EXCLUSIVE to number its rows"


@rule(
    "add-column-identity",
    effect="rewrite",
    on=("add column",),
    remedy="ADD COLUMN bigint, fill it in batches, SET NOT NULL by way of a valid "
    "CHECK, then ADD GENERATED … AS IDENTITY",
    source=_NOTES,
)
def _identity(case: Case) -> str | None:
    if not case.action.body.has("AS", "IDENTITY"):
        return None
    return f"{case.table} is rewritten under ACCESS EXCLUSIVE to number its rows"


@rule(
    "add-column-generated",
    effect="rewrite",
    on=("add column",),
    remedy="a plain column that a trigger keeps and a batch fills; from 18 on VIRTUAL",
    source=_NOTES,
)
def _generated(case: Case) -> str | None:
    body = case.action.body
    if not body.has("GENERATED", "ALWAYS", "AS") or not body.has("STORED"):
        return None
    return f"{case.table} is rewritten under ACCESS EXCLUSIVE to compute the column"


@rule(
    "add-column-domain",
    effect="rewrite",
    on=("add column",),
    remedy="ADD COLUMN with the domain's base type, and a CHECK by way of NOT VALID",
    source=_NOTES,
)
def _domain(case: Case) -> str | None:
    name = read_type(case.action.body).name
    if name not in case.known.strict_domains:
        return None
    return f"{case.table} is rewritten under ACCESS EXCLUSIVE to check {name}"


@rule(
    "set-expression",
    effect="rewrite",
    on=("alter column",),
    remedy="a new column beside it",
    source=_NOTES,
)
def _set_expression(case: Case) -> str | None:
    if not case.action.body.begins("SET", "EXPRESSION"):
        return None
    return f"{case.table} is rewritten under ACCESS EXCLUSIVE unless it is VIRTUAL"


@rule(
    "json-column",
    effect="break",
    severity="warn",
    on=("add column",),
    remedy="jsonb",
    source="datatype-json.html",
)
def _json(case: Case) -> str | None:
    if read_type(case.action.body).name != "json":
        return None
    return "json has no equality: SELECT DISTINCT, GROUP BY and UNION on it fail"
