"""How is it told what a revision did?"""

from collections.abc import Mapping

from dbops.errors import DbopsError, Outcome
from dbops.operations.migrate.run import PlannedRevision
from dbops.operations.rehearse.modes import meaning, strength
from dbops.operations.rehearse.original import Weight
from dbops.operations.rehearse.rehearsed import RehearsedRevision, TableLock
from dbops.operations.rehearse.watch import Seen
from dbops.results import Problem


def told(
    seen: Seen, messages: Mapping[str, str], found: Mapping[str, Weight]
) -> RehearsedRevision:
    """Tell what a revision did.

    Args:
        seen: What was seen of it.
        messages: Revision → the first line of its docstring.
        found: Table → how much there really is of it.
    """
    return RehearsedRevision(
        revision=seen.revision,
        message=messages.get(seen.revision, ""),
        duration_ms=seen.duration_ms,
        transactional=seen.transactional,
        locks=tuple(
            _lock(table, mode, found.get(table, Weight()))
            for table, mode in sorted(
                seen.locks.items(), key=lambda it: (-strength(it[1]), it[0])
            )
        ),
        **seen.change._asdict(),
    )


def _lock(table: str, mode: str, weight: Weight) -> TableLock:
    name, blocks = meaning(mode)
    return TableLock(table=table, mode=name, blocks=blocks, **weight._asdict())


def failed(step: PlannedRevision, failure: DbopsError) -> RehearsedRevision:
    """Tell that a revision failed; trying again does not help."""
    problem = Problem.of(failure).model_copy(
        update={
            "message": f"on the copy, {failure.message}",
            "retryable": False,
            "outcome": Outcome.UNHEALTHY,
        }
    )
    return RehearsedRevision(
        revision=step.revision,
        message=step.message,
        duration_ms=None,
        transactional=None,
        error=problem,
    )
