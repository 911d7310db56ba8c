"""Is something gone afterwards: rows, columns, names that running code uses?"""

from dbops.operations.lint.rule import Case, rule
from dbops.operations.lint.words import Words

_LATER = "stop using it, release that, and drop it in a later release"
_ALWAYS_TRUE = ("TRUE", "1 = 1")


@rule(
    "drop-column",
    effect="loss",
    on=("drop column",),
    remedy=_LATER,
    source="sql-altertable.html",
)
def _drop_column(case: Case) -> str | None:
    return f"the column's data is gone, and running code may read {case.table} with it"


@rule(
    "drop-table",
    effect="loss",
    on=("drop table",),
    remedy=_LATER,
    source="sql-droptable.html",
)
def _drop_table(case: Case) -> str | None:
    return f"{case.table} and its rows are gone, and running code may use it"


@rule(
    "drop-schema",
    effect="loss",
    on=("drop schema",),
    remedy="drop what is in it by name, when nothing uses it",
    source="sql-dropschema.html",
)
def _drop_schema(case: Case) -> str | None:
    return f"the schema {case.table} and all that is in it may be gone"


@rule(
    "drop-database",
    effect="loss",
    on=("drop database",),
    remedy="dbops drop-db, which asks and spares protected targets",
    source="sql-dropdatabase.html",
)
def _drop_database(case: Case) -> str | None:
    return f"the database {case.table} is gone"


@rule(
    "drop-owned",
    effect="loss",
    on=("drop owned",),
    remedy="REASSIGN OWNED first, and REVOKE by name",
    source="sql-drop-owned.html",
)
def _drop_owned(_case: Case) -> str | None:
    return "everything that the role owns in this database is gone"


@rule(
    "drop-cascade",
    effect="loss",
    on=(
        "drop constraint",
        "drop extension",
        "drop function",
        "drop materialized view",
        "drop procedure",
        "drop sequence",
        "drop view",
    ),
    remedy="drop what depends on it by name",
    source="ddl-depend.html",
)
def _drop_cascade(case: Case) -> str | None:
    if not any(token.key == "CASCADE" for token in case.action.words):
        return None
    return "CASCADE drops whatever depends on it, seen or not"


@rule(
    "truncate",
    effect="loss",
    on=("truncate",),
    remedy="DELETE in batches, after a backup",
    source="sql-truncate.html",
)
def _truncate(case: Case) -> str | None:
    more = ""
    if any(token.key == "CASCADE" for token in case.action.words):
        more = ", and those of every table that refers to it"
    return f"all rows of {case.table} are gone{more}"


@rule(
    "delete-without-where",
    effect="loss",
    on=("delete",),
    remedy="say which rows, in batches",
    source="sql-delete.html",
)
def _delete_without_where(case: Case) -> str | None:
    if _has_condition(case):
        return None
    return f"all rows of {case.table} are deleted"


@rule(
    "update-without-where",
    effect="lock",
    on=("update",),
    remedy="update in batches, each in a transaction of its own, outside of DDL",
    source="sql-update.html",
)
def _update_without_where(case: Case) -> str | None:
    if _has_condition(case):
        return None
    return f"every row of {case.table} is locked and written anew"


def _has_condition(case: Case) -> bool:
    where = case.action.body.after("WHERE")
    if where is None:
        return case.is_bookkeeping
    condition = where.until(("RETURNING",))
    plain = Words(token for token in condition if token.key not in ("(", ")"))
    return str(plain) not in _ALWAYS_TRUE
