"""Does a name go that running code uses?"""

from dbops.operations.lint.rule import Case, rule

_BOTH = "have both for one release: add the new one, move the code over, drop the old"


@rule(
    "rename-column",
    effect="break",
    on=("rename column",),
    remedy=_BOTH,
    source="sql-altertable.html",
)
def _rename_column(case: Case) -> str | None:
    return f"running code still uses {case.table}.{case.action.name}"


@rule(
    "rename-table",
    effect="break",
    on=(
        "rename table",
        "alter materialized view",
        "alter schema",
        "alter sequence",
        "alter view",
    ),
    remedy=_BOTH + " (or leave a view under the old name)",
    source="sql-altertable.html",
)
def _rename_table(case: Case) -> str | None:
    body = case.action.body
    is_moved = body.begins("RENAME") or body.begins("SET", "SCHEMA")
    if case.action.kind != "rename table" and not is_moved:
        return None
    return f"running code still uses {case.table} under its old name"
