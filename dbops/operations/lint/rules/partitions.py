"""Does a partition come or go while others use its table?"""

from dbops.operations.lint.names import read_name
from dbops.operations.lint.rule import Case, rule
from dbops.operations.lint.words import Words

_PAGE = "ddl-partitioning.html#DDL-PARTITIONING-DECLARATIVE-MAINTENANCE"


@rule(
    "attach-partition",
    effect="scan",
    on=("attach partition",),
    remedy="first ADD CONSTRAINT … CHECK with the partition's bounds NOT VALID, and "
    "VALIDATE it",
    source=_PAGE,
    for_new_tables=True,
)
def _attach_partition(case: Case) -> str | None:
    read = read_name(case.action.body)
    if read is None or case.known.is_new(read.name):
        return None
    table = case.known.table(read.name)
    if table is not None and any(table.checks.values()):
        return None
    return f"reads and writes of {read.name} wait until every row is checked"


@rule(
    "detach-partition",
    effect="lock",
    on=("detach partition",),
    remedy="DETACH PARTITION … CONCURRENTLY, outside of a transaction",
    source=_PAGE,
)
def _detach_partition(case: Case) -> str | None:
    body = case.action.body
    if body.has("CONCURRENTLY") or body.has("FINALIZE"):
        return None
    return f"reads and writes of {case.table}, all partitions, wait"


@rule(
    "create-partition-of",
    effect="lock",
    severity="warn",
    on=("create table",),
    remedy="CREATE TABLE (LIKE parent INCLUDING ALL), then ATTACH PARTITION",
    source=_PAGE,
)
def _create_partition_of(case: Case) -> str | None:
    read = read_name(case.action.body.after("PARTITION", "OF") or Words())
    if read is None or case.known.is_new(read.name):
        return None
    return f"reads and writes of {read.name}, all partitions, wait for a moment"
