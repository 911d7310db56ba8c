"""Is a whole table locked, rewritten or closed to its users?"""

from dbops.operations.lint.locks import Lock, lock_of
from dbops.operations.lint.rule import Case, rule

_WITH_TRIGGERS = ("origin", "local", "default")


@rule(
    "lock-table",
    effect="lock",
    on=("lock",),
    remedy="let each statement take the lock that it needs",
    source="sql-lock.html",
)
def _lock_table(case: Case) -> str | None:
    lock = lock_of(case.action)
    if lock < Lock.SHARE:
        return None
    whom = "reads and writes" if lock is Lock.ACCESS_EXCLUSIVE else "writes"
    return f"{whom} of {case.table} wait for the whole transaction"


@rule(
    "vacuum-full",
    effect="rewrite",
    on=("vacuum",),
    remedy="plain VACUUM, or pg_repack",
    source="sql-vacuum.html",
)
def _vacuum_full(case: Case) -> str | None:
    if lock_of(case.action) is not Lock.ACCESS_EXCLUSIVE:
        return None
    return f"{case.table} is rewritten while reads and writes wait"


@rule(
    "cluster",
    effect="rewrite",
    on=("cluster",),
    remedy="pg_repack, or an index that holds what the query reads",
    source="sql-cluster.html",
)
def _cluster(case: Case) -> str | None:
    return f"{case.table} is rewritten while reads and writes wait"


@rule(
    "refresh-not-concurrent",
    effect="rewrite",
    on=("refresh",),
    remedy="REFRESH MATERIALIZED VIEW CONCURRENTLY, with a unique index on it",
    source="sql-refreshmaterializedview.html",
)
def _refresh_not_concurrent(case: Case) -> str | None:
    if case.action.body.begins("CONCURRENTLY"):
        return None
    return f"reads of {case.table} wait until it is computed anew"


@rule(
    "set-tablespace",
    effect="rewrite",
    on=(
        "alter table",
        "alter index",
        "alter materialized view",
        "alter table all",
        "alter index all",
        "alter materialized view all",
    ),
    remedy="pg_repack --tablespace; REINDEX (TABLESPACE …) CONCURRENTLY for an index",
    source="sql-altertable.html",
)
def _set_tablespace(case: Case) -> str | None:
    if not case.action.body.has("SET", "TABLESPACE"):
        return None
    return f"{case.table} is copied while reads and writes wait"


@rule(
    "set-logged",
    effect="rewrite",
    on=("alter table",),
    remedy="make it LOGGED or UNLOGGED when it is created",
    source="sql-altertable.html",
)
def _set_logged(case: Case) -> str | None:
    body = case.action.body
    if not body.begins("SET", "LOGGED") and not body.begins("SET", "UNLOGGED"):
        return None
    return f"{case.table} is rewritten while reads and writes wait"


@rule(
    "set-access-method",
    effect="rewrite",
    on=("alter table", "alter materialized view"),
    remedy="a new table, filled in batches",
    source="sql-altertable.html",
)
def _set_access_method(case: Case) -> str | None:
    if not case.action.body.begins("SET", "ACCESS", "METHOD"):
        return None
    return f"{case.table} is rewritten while reads and writes wait"


@rule(
    "enable-row-security",
    effect="break",
    on=("alter table",),
    remedy="CREATE POLICY first, in the same transaction",
    source="ddl-rowsecurity.html",
)
def _enable_row_security(case: Case) -> str | None:
    body, table = case.action.body, case.action.table
    if not body.begins("ENABLE", "ROW") and not body.begins("FORCE", "ROW"):
        return None
    if table is not None and case.final.full(table) in case.final.policies:
        return None
    return f"without a policy, roles that do not own {case.table} see no row of it"


@rule(
    "disable-trigger",
    effect="break",
    on=("alter table", "set"),
    remedy="change the rows with the triggers on, in batches",
    source="sql-altertable.html",
)
def _disable_trigger(case: Case) -> str | None:
    body = case.action.body
    if case.action.kind == "set":
        words = [token.value.lower() for token in body]
        if "session_replication_role" not in words or words[-1] in _WITH_TRIGGERS:
            return None
        return "triggers and foreign keys are off for what follows"
    if not body.begins("DISABLE", "TRIGGER"):
        return None
    return f"what the triggers of {case.table} guard, foreign keys too, is not guarded"


@rule(
    "create-trigger",
    effect="lock",
    severity="warn",
    on=("create trigger",),
    remedy="a short transaction of its own; the function must suit code that runs",
    source="sql-createtrigger.html",
)
def _create_trigger(case: Case) -> str | None:
    return f"writes to {case.table} wait, and then each of them pays for the trigger"
