"""Does an index come, go or get rebuilt while others write?"""

from dbops.operations.lint.rule import Case, rule
from dbops.operations.lint.transactions import is_control


@rule(
    "index-not-concurrent",
    effect="scan",
    on=("create index",),
    remedy="CREATE INDEX CONCURRENTLY, in a revision of its own and outside of a "
    "transaction (Alembic: autocommit_block, postgresql_concurrently=True)",
    source="sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY",
)
def _index_not_concurrent(case: Case) -> str | None:
    # ON ONLY a partitioned table builds nothing.
    if case.is_concurrent or case.action.words.has("ON", "ONLY"):
        return None
    return f"writes to {case.table} wait until the index is built"


@rule(
    "drop-index-not-concurrent",
    effect="lock",
    severity="warn",
    on=("drop index",),
    remedy="DROP INDEX CONCURRENTLY, outside of a transaction",
    source="sql-dropindex.html",
)
def _drop_index_not_concurrent(case: Case) -> str | None:
    if case.is_concurrent:
        return None
    return f"dropping {case.table} locks its table against reads and writes"


@rule(
    "reindex-not-concurrent",
    effect="scan",
    on=(
        "reindex index",
        "reindex table",
        "reindex schema",
        "reindex database",
        "reindex system",
    ),
    remedy="REINDEX … CONCURRENTLY, outside of a transaction",
    source="sql-reindex.html#SQL-REINDEX-CONCURRENTLY",
)
def _reindex_not_concurrent(case: Case) -> str | None:
    if case.is_concurrent:
        return None
    return "writes wait until the index is built anew, and so do reads that need it"


@rule(
    "concurrently-if-not-exists",
    effect="unseen",
    severity="warn",
    on=("create index",),
    remedy="leave IF NOT EXISTS out, or first DROP INDEX CONCURRENTLY IF EXISTS",
    source="sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY",
)
def _concurrently_if_not_exists(case: Case) -> str | None:
    words = case.action.words
    if not case.is_concurrent or not words.has("IF", "NOT", "EXISTS"):
        return None
    if any(_drops(earlier, case.action.name) for earlier in case.earlier):
        return None
    return "an invalid index that a failed build has left counts as existing"


@rule(
    "concurrently-on-partitioned",
    effect="refused",
    on=("create index",),
    remedy="CREATE INDEX ON ONLY it, CONCURRENTLY on each partition, then ALTER INDEX "
    "… ATTACH PARTITION",
    source="sql-createindex.html#SQL-CREATEINDEX-NOTES",
    for_new_tables=True,
)
def _concurrently_on_partitioned(case: Case) -> str | None:
    table = case.known.table(case.action.table)
    if not case.is_concurrent or table is None or not table.is_partitioned:
        return None
    return f"the server refuses it: {case.table} is partitioned"


@rule(
    "concurrently-with-others",
    effect="unseen",
    severity="warn",
    remedy="give each CONCURRENTLY a revision of its own",
    source="sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY",
)
def _concurrently_with_others(case: Case) -> str | None:
    # What fails behind it cannot take it back: the next run finds it done.
    if not case.is_concurrent and not any(c.is_concurrent for c in case.earlier):
        return None
    if not _counts(case):
        return None
    others = [earlier for earlier in case.earlier if _counts(earlier)]
    if _is_said(others) or not any(_is_apart(earlier, case) for earlier in others):
        return None
    return "what fails here does not undo the rest, and a second run repeats it"


def _is_said(cases: list[Case]) -> bool:
    """Whether two of the cases were apart already."""
    built = [at for at, case in enumerate(cases) if case.is_concurrent]
    return any(
        _is_apart(cases[min(one, two)], cases[max(one, two)])
        # Of three that are built, two are apart.
        for one in built[:3]
        for two in range(len(cases))
        if one != two
    )


def _counts(case: Case) -> bool:
    return not is_control(case.action.words) and not case.is_bookkeeping


def _is_apart(first: Case, second: Case) -> bool:
    """Whether two actions are more than one idea, and one of them is CONCURRENTLY."""
    if first.statement is second.statement:
        return False
    if not first.is_concurrent and not second.is_concurrent:
        return False
    index = second.action.name
    using = second.action.body.after("USING", "INDEX")
    is_used = using is not None and using[:1] and using[0].value == first.action.name
    return not _drops(first, index) and not is_used


def _drops(case: Case, index: str | None) -> bool:
    action = case.action
    if action.kind != "drop index" or action.table is None:
        return False
    return action.table.name == index
