"""Is the database healthy? Every check at once, over one connection to each server."""

from collections import Counter
from collections.abc import Sequence

from dbops.engine.connect import Connectors
from dbops.errors import DbopsError
from dbops.operations.doctor.answer import Diagnosis, Doctor
from dbops.operations.doctor.catalogue import catalogue
from dbops.operations.doctor.choices import Choices
from dbops.operations.doctor.diagnose import diagnose
from dbops.operations.doctor.reach import reached
from dbops.operations.doctor.visits import Visits
from dbops.results import Problem, Status, worst


async def doctor(
    connectors: Connectors,
    choices: Choices | None = None,
    *,
    all_databases: bool = False,
    limit_s: float | None = None,
) -> Doctor:
    """Ask every check's question and return every answer.

    There is at most one connection to the writer and one to the reader; each question
    is a read-only transaction of its own with local time-outs.

    Args:
        connectors: How to reach writer and reader; without one of them, its checks
            do not apply.
        choices: What to run and what to accept; everything and nothing by default.
        all_databases: Whether the checks of a database are run in every database that
            takes connections, one after another.
        limit_s: How long it may take, the overall time-out of the settings by default;
            a part of it is left for the answer.

    Returns:
        A diagnosis for each check. A server that gives no answer is one of them, and
        makes what depends on it unknown; so does the end of the time.

    Raises:
        ConfigError: If nothing says where a server is.
    """
    choices = choices or Choices()
    limit_s = connectors.settings.timeout if limit_s is None else limit_s
    visits = Visits(connectors, catalogue(), choices, limit_s=limit_s)
    async with reached(connectors, limit_s=limit_s) as cluster:
        await visits.first(cluster)
        others = await visits.others(cluster) if all_databases else ()
    for database in others:
        await visits.next(database)
    checks = [diagnose(check, seen, choices) for check, seen in visits.seen()]
    return _whole(checks, visits.failure)


def _whole(checks: Sequence[Diagnosis], failure: DbopsError | None) -> Doctor:
    counted = Counter(
        str(it.status) if it.applies else "not_applicable" for it in checks
    )
    names = [*(str(status) for status in Status), "not_applicable"]
    return Doctor(
        status=worst(it.status for it in checks if it.applies),
        counts={name: counted[name] for name in names},
        checks=tuple(checks),
        error=None if failure is None else Problem.of(failure),
    )
