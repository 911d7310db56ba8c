"""Does a column change its type, or a type change under its columns?"""

from dbops.operations.lint.names import read_name
from dbops.operations.lint.rule import Case, rule
from dbops.operations.lint.types import Change, Type, change, read_type
from dbops.operations.lint.words import Words

_EXPAND = (
    "a new column of the new type, kept by a trigger, filled in batches, and swapped "
    "in a later release"
)


@rule(
    "change-column-type",
    effect="rewrite",
    on=("alter column",),
    remedy=_EXPAND,
    source="sql-altertable.html#SQL-ALTERTABLE-NOTES",
)
def _change_column_type(case: Case) -> str | None:
    if _change(case) != "rewrite":
        return None
    old, new = _types(case)
    if old is None:
        return f"{case.table} is rewritten under ACCESS EXCLUSIVE to make {new}"
    return f"{case.table} is rewritten under ACCESS EXCLUSIVE: {old} becomes {new}"


@rule(
    "change-column-type-unknown",
    effect="rewrite",
    severity="warn",
    on=("alter column",),
    remedy="lint with a server in reach: the column's type decides; else " + _EXPAND,
    source="sql-altertable.html#SQL-ALTERTABLE-NOTES",
)
def _change_column_type_unknown(case: Case) -> str | None:
    if _change(case) != "unknown":
        return None
    _, new = _types(case)
    return (
        f"{case.table} is rewritten under ACCESS EXCLUSIVE unless {case.action.name} "
        f"is a shorter {new} now, and its type is not known here"
    )


@rule(
    "rename-type",
    effect="break",
    severity="warn",
    on=("alter type",),
    remedy="add the new one, move the code over, drop the old one in a later release",
    source="sql-altertype.html",
)
def _rename_type(case: Case) -> str | None:
    body = case.action.body
    if body.has("RENAME") or body.has("SET", "SCHEMA"):
        return f"running code still uses the old name of {case.table}, or of its part"
    if body.has("DROP", "ATTRIBUTE") or body.has("ALTER", "ATTRIBUTE"):
        return f"running code still uses the old form of {case.table}"
    return None


@rule(
    "drop-type",
    effect="break",
    severity="warn",
    on=("drop type", "drop domain"),
    remedy="drop it when no release that runs names it",
    source="sql-droptype.html",
)
def _drop_type(case: Case) -> str | None:
    return f"code that runs may still name {case.table} in a cast or a parameter"


@rule(
    "enum-value-in-same-transaction",
    effect="refused",
    remedy="use the new value in the next revision",
    source="sql-altertype.html#SQL-ALTERTYPE-NOTES",
    for_new_tables=True,
)
def _enum_value_in_same_transaction(case: Case) -> str | None:
    used = {token.value for token in case.action.words if token.kind == "string"}
    for earlier in case.in_same_transaction if used else ():
        if earlier.action.kind != "alter type":
            continue
        if earlier.is_on_new_table or earlier.statement is case.statement:
            continue
        if case.action.kind == "alter type":
            continue
        value = added_value(earlier)
        if value is not None and value in used:
            return f"the value {value!r} may be used only after COMMIT"
    return None


@rule(
    "domain-constraint",
    effect="scan",
    on=("alter domain",),
    remedy="ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT in a transaction of "
    "its own",
    source="sql-alterdomain.html",
)
def _domain_constraint(case: Case) -> str | None:
    body = case.action.body
    is_added = body.begins("ADD") and not body.has("NOT", "VALID")
    if not is_added and not body.begins("SET", "NOT", "NULL"):
        return None
    return f"every table with a column of {case.table} is read, and writes wait"


def added_value(case: Case) -> str | None:
    """Return the value that ALTER TYPE … ADD VALUE adds to an enum."""
    value = case.action.body.after("ADD", "VALUE")
    if case.action.kind != "alter type" or value is None:
        return None
    return next((token.value for token in value if token.kind == "string"), None)


def _types(case: Case) -> tuple[Type | None, Type]:
    table = case.known.table(case.action.table)
    old = table.columns.get(case.action.name or "") if table else None
    return old, read_type(case.action.body.after("TYPE") or Words())


def _change(case: Case) -> Change | None:
    """Judge ALTER COLUMN TYPE; None for anything else."""
    body = case.action.body
    if not body.begins("TYPE") and not body.begins("SET", "DATA", "TYPE"):
        return None
    if body.has("COLLATE") or not _only_casts(case):
        return "rewrite"
    old, new = _types(case)
    return change(old, new, in_utc=case.known.in_utc)


def _only_casts(case: Case) -> bool:
    """Whether USING says no more than what happens without it: `c::newtype`."""
    using = case.action.body.after("USING")
    if using is None:
        return True
    read = read_name(using)
    if read is None or read.column != case.action.name:
        return False
    cast = read.rest
    return not cast or (
        cast.begins("::") and read_type(Words(cast[1:])) == _types(case)[1]
    )
