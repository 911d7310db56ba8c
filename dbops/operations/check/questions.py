"""Which questions does a check answer, and how is each judged by itself?"""

from collections.abc import Iterator, Sequence
from typing import Literal

from dbops.operations.check.baseline import Accepted
from dbops.operations.check.differences import Difference
from dbops.operations.migrate.proof import InvalidIndex, NotValidConstraint
from dbops.operations.migrate.status import MigrationStatus
from dbops.results import Checked, Status

Drift = Literal["none", "found", "unknown", "not_compared"]

_NO_ANSWER = {
    "not_compared": "models and database were not compared: that is done at head only",
    "unknown": "whether models and database differ is unknown: env.py names no "
    "target_metadata",
}


def about_heads(heads: Sequence[str], *, are_several: bool) -> Checked:
    """Judge the project's newest revisions."""
    said = f"the project has one head: {', '.join(heads)}"
    if are_several:
        said = f"the project has {len(heads)} heads: {', '.join(heads)}"
    status = Status.FAIL if are_several else Status.OK
    return Checked("heads", "heads of the project", status, said)


def about_version(found: MigrationStatus) -> Checked:
    """Judge the database's version; here what is pending is not good enough."""
    (asked,) = found.checked()
    is_good = asked.status is Status.OK
    return asked._replace(status=Status.OK if is_good else Status.FAIL)


def about_drift(drift: Drift, found: Sequence[Difference]) -> Checked:
    """Judge the comparison of models and database."""
    new = [it.message for it in found if not it.accepted]
    said = _NO_ANSWER.get(drift) or "models and database are alike"
    if drift == "found":
        said = f"models and database differ: {len(new)} not accepted"
    status = {"found": Status.FAIL, "unknown": Status.UNKNOWN}.get(drift, Status.OK)
    title = "drift between models and database"
    is_skipped = drift == "not_compared"
    return Checked("drift", title, status, said, new, is_skipped=is_skipped)


def about_indexes(
    invalid: Sequence[InvalidIndex], incomplete: Sequence[InvalidIndex]
) -> Checked:
    """Judge what builds of indexes have left behind."""
    said = "every index is valid"
    if invalid or incomplete:
        said = f"invalid indexes: {len(invalid)}, incomplete: {len(incomplete)}"
    status = Status.FAIL if invalid else Status.WARN if incomplete else Status.OK
    details = [
        f"{it.name} on {it.table}: {it.remedy}" for it in (*invalid, *incomplete)
    ]
    return Checked("indexes", "indexes of the database", status, said, details)


def about_constraints(found: Sequence[NotValidConstraint]) -> Checked:
    """Judge constraints that were never proved."""
    said = "every constraint is valid"
    if found:
        said = f"constraints that are not valid: {len(found)}"
    details = [f"{it.name} on {it.table}: {it.remedy}" for it in found]
    status = Status.FAIL if found else Status.OK
    return Checked("constraints", "constraints of the database", status, said, details)


def about_baseline(stale: Sequence[Accepted]) -> Iterator[Checked]:
    """Warn of what is accepted in vain."""
    if stale:
        said = f"accepted differences that are no longer there: {len(stale)}"
        details = [it.message or it.key for it in stale]
        yield Checked(
            "baseline", "baseline of accepted differences", Status.WARN, said, details
        )
