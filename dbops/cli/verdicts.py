"""To which verdicts did a command come on one target, and in which words?"""

from collections.abc import Iterable, Sequence

from dbops.cli import exit_codes
from dbops.cli.ended import Ended
from dbops.errors import Outcome
from dbops.results import Checked, Problem, Status, worst

# Where the answer itself is bad, and not missing.
_ANSWERS = frozenset(
    exit_codes.EXIT_CODES[it] for it in (Outcome.UNHEALTHY, Outcome.PENDING)
)


def verdicts(command: str, ended: Ended) -> Sequence[Checked]:
    """Return every question and its verdict; none where nothing was asked.

    Args:
        command: Its name.
        ended: How it ended; what kept it from an answer is a verdict too.
    """
    if ended.result is None:
        return [_alone(command, ended)] if ended.is_answer else []
    found = list(ended.result.checked())
    if not found and not ended.problem:
        said = ended.result.headline()
        return [Checked(command, command, ended.result.status, said)]
    if ended.problem and not _is_told(ended.problem, found):
        found.append(_of_problem(command, ended, ended.problem))
    return found


def verdict(command: str, ended: Ended) -> Status:
    """Return the worst of what is known; what was not asked counts where all is so."""
    found = verdicts(command, ended)
    statuses = [it.status for it in found if not it.is_skipped]
    if ended.result is not None:
        statuses.append(ended.result.status)
    if ended.problem is not None and ended.exit_code != 0:
        # Whoever has a problem does not say ok, whatever the rest of the answer says.
        statuses.append(Status.UNKNOWN)
    return worst(statuses)


def sentence(ended: Ended) -> str:
    """Say in one sentence how it ended."""
    said = ended.result.headline() if ended.result is not None else ""
    if ended.problem is not None and ended.problem.message not in said:
        why = ended.problem.message
        return f"{why}; {said}" if said else why
    return said or ("done by the earlier run" if ended.earlier is not None else "done")


def called(it: Checked) -> str:
    """Return what a question is called: its id and its title, each once."""
    return it.title if it.title.startswith(it.id) else f"{it.id} {it.title}"


def together(ended: Iterable[Ended]) -> int:
    """Return the exit code of several targets."""
    are_good = all(end.exit_code == 0 for end in ended)
    return exit_codes.EXIT_CODES[Outcome.OK if are_good else Outcome.PARTIAL]


def _alone(command: str, ended: Ended) -> Checked:
    if ended.problem is not None:
        return _of_problem(command, ended, ended.problem)
    return Checked(command, command, Status.OK, sentence(ended))


def _of_problem(command: str, ended: Ended, problem: Problem) -> Checked:
    status = Status.FAIL if ended.exit_code in _ANSWERS else Status.UNKNOWN
    if command == "ping" and problem.outcome is Outcome.UNREACHABLE:
        # Whether it can be reached is what was asked.
        status = Status.FAIL
    return Checked(
        command,
        command,
        status,
        problem.message,
        [problem.hint] if problem.hint else [],
        is_skipped=ended.is_skipped,
    )


def _is_told(problem: Problem, found: Iterable[Checked]) -> bool:
    return any(
        problem.message in text for it in found for text in (it.summary, *it.details)
    )
