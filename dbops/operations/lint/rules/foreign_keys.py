"""Does a foreign key read its table under a lock, or lack an index later?"""

from dbops.operations.lint.names import columns, read_name
from dbops.operations.lint.rule import Case, rule
from dbops.operations.lint.rules.defaults import default_of
from dbops.operations.lint.words import Words

_NOTES = "sql-altertable.html#SQL-ALTERTABLE-NOTES"
_IN_TWO_STEPS = (
    "ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT in a transaction of its own"
)


@rule(
    "add-foreign-key",
    effect="scan",
    on=("add constraint", "add column"),
    remedy=_IN_TWO_STEPS,
    source=_NOTES,
)
def _add_foreign_key(case: Case) -> str | None:
    body = case.action.body
    if case.action.kind == "add column":
        # Without a default all its values are NULL, and the server checks none.
        is_checked = body.has("REFERENCES") and bool(default_of(body))
    else:
        is_checked = body.begins("FOREIGN") and not body.has("NOT", "VALID")
    if not is_checked:
        return None
    other = read_name(body.after("REFERENCES") or Words())
    named = other.name if other else "the other table"
    return f"writes to {case.table} and to {named} wait until every row is checked"


@rule(
    "add-column-foreign-key",
    effect="lock",
    severity="warn",
    on=("add column",),
    remedy="ADD COLUMN, then ADD CONSTRAINT … FOREIGN KEY … NOT VALID in another "
    "transaction, then VALIDATE CONSTRAINT",
    source="sql-altertable.html",
)
def _foreign_key(case: Case) -> str | None:
    body = case.action.body
    if not body.has("REFERENCES") or default_of(body):
        return None
    return f"{case.table} and the table that it refers to are locked at once"


@rule(
    "foreign-key-without-index",
    effect="lock",
    severity="warn",
    on=("add constraint", "add column", "create table"),
    remedy="an index that begins with the referring columns (CONCURRENTLY where the "
    "table is in use)",
    source="ddl-constraints.html#DDL-CONSTRAINTS-FK",
    for_new_tables=True,
)
def _foreign_key_without_index(case: Case) -> str | None:
    table = case.final.table(case.action.table)
    # Indexes of a table that nothing is known of may well be there.
    if table is None or not table.has_known_indexes:
        return None
    for key in _foreign_keys(case):
        if key and not table.has_index_on(key):
            named = ", ".join(key)
            return f"no index on {case.table} ({named}): each delete there reads it all"
    return None


def _foreign_keys(case: Case) -> list[tuple[str, ...]]:
    action = case.action
    if action.kind == "add constraint":
        return [columns(action.body)] if action.body.begins("FOREIGN", "KEY") else []
    if action.kind == "add column":
        return [(action.name or "",)] if action.body.has("REFERENCES") else []
    found: list[tuple[str, ...]] = []
    for part in action.body.group().split() if action.body.begins("(") else []:
        read = read_name(part)
        key = part.find("FOREIGN", "KEY")
        if key is not None:
            found.append(columns(Words(part[key:])))
        elif read is not None and part.has("REFERENCES"):
            found.append((read.column,))
    return found
