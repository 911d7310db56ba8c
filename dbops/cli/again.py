"""Is it worth asking again?"""

from dbops.cli.ended import Ended
from dbops.errors import Outcome

CUT_OFF = "timeout"
"""The phase of what the overall time-out has ended."""


def is_worth_repeating(ended: Ended) -> bool:
    """Whether the same question may have a better answer in a moment."""
    if ended.exit_code == 0 or (ended.problem is None and ended.result is None):
        return False
    if ended.problem is None:
        return True
    if ended.result is None:
        return ended.problem.retryable
    return ended.problem.outcome not in (Outcome.USAGE, Outcome.CONFIG)


def was_cut_off(ended: Ended) -> bool:
    """Whether the overall time-out has ended it."""
    return ended.problem is not None and ended.problem.phase == CUT_OFF


def why_again(ended: Ended) -> str:
    """Say in one sentence what is asked again for."""
    if ended.problem is not None:
        return ended.problem.message
    assert ended.result is not None  # or nothing is worth repeating  # noqa: S101
    return f"{ended.result.status}: {ended.result.headline()}"
