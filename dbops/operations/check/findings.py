"""Which sentences follow from what a check has seen, the deciding one first."""

from collections.abc import Iterable, Iterator

from dbops.operations.check.baseline import Accepted
from dbops.operations.check.differences import Difference
from dbops.operations.check.questions import Drift
from dbops.operations.check.verdict import Finding
from dbops.operations.migrate.proof import InvalidIndex, NotValidConstraint
from dbops.operations.migrate.status import MigrationStatus


def about_version(status: MigrationStatus) -> Iterator[Finding]:
    """Say where the database stands, unless it is at head."""
    current = ", ".join(status.current)
    match status.state:
        case "at_head":
            return
        case "behind" | "empty":
            pending = len(status.pending)
            yield Finding(
                message=f"{pending} {_plural(pending, 'revision')} pending: "
                f"{', '.join(each.revision for each in status.pending)}; models and "
                "database are compared at head only",
                remedy="dbops migrate",
            )
        case "ahead":
            yield Finding(
                message=f"the database is at {current}, which this code does not know",
                remedy="deploy the code that has this revision",
            )
        case "diverged":
            yield Finding(
                message=f"the database is at {current}, from where no upgrade leads to "
                f"{', '.join(status.heads)}",
                remedy="look at alembic history and the version table",
            )


def about_objects(
    invalid: Iterable[InvalidIndex],
    not_valid: Iterable[NotValidConstraint],
    incomplete: Iterable[InvalidIndex],
) -> Iterator[Finding]:
    """Say what a migration has left unfinished."""
    for index in invalid:
        said = f"index {index.name} on {index.table} is invalid: no query uses it"
        yield Finding(message=said, remedy=index.remedy)
    for constraint in not_valid:
        said = (
            f"constraint {constraint.name} on {constraint.table} is not valid: older "
            "rows were never proved"
        )
        yield Finding(message=said, remedy=constraint.remedy)
    for index in incomplete:
        said = f"index {index.name} on {index.table} waits for its partitions"
        yield Finding(message=said, remedy=index.remedy)


def about_drift(
    drift: Drift, found: Iterable[Difference], stale: tuple[Accepted, ...]
) -> Iterator[Finding]:
    """Say what the comparison of models and database has led to."""
    if drift == "unknown":
        yield Finding(
            message="whether models and database differ is unknown: env.py names no "
            "target_metadata",
            remedy="give target_metadata to context.configure(), or use --no-drift",
        )
    new = sum(not each.accepted for each in found)
    if drift == "found":
        yield Finding(
            message=f"models and database differ in {new} "
            f"{'place' if new == 1 else 'places'}",
            remedy="dbops revision --autogenerate -m MESSAGE, or accept them: "
            "dbops check --baseline FILE --accept",
        )
    if stale:
        yield Finding(
            message=f"{len(stale)} accepted {_plural(len(stale), 'difference')} no "
            "longer there",
            remedy="write the baseline again with --accept",
        )


def _plural(count: int, noun: str) -> str:
    return f"{noun} is" if count == 1 else f"{noun}s are"
