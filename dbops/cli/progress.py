"""What a person reads on stderr while a fleet is worked on."""

from collections.abc import Mapping, Sequence
from time import monotonic

from dbops.cli.ended import Ended
from dbops.cli.render import write_notice


class Progress:
    """One line for each target that is done, and one at the end.

    Args:
        total: How many targets there are.
        quiet: Say nothing.
    """

    def __init__(self, total: int, *, quiet: bool) -> None:
        self.is_quiet = quiet
        self._total = total
        self._done = 0
        self._started = monotonic()

    def tell(self, ended: Ended) -> None:
        """Say how one target ended."""
        self._done += 1
        if self.is_quiet:
            return
        took = "" if ended.took_s is None else f", {ended.took_s:.1f} s"
        line = f"[{self._done}/{self._total}] {ended.target}: {brief(ended)}{took}"
        write_notice(line)

    def summarize(self, ended: Sequence[Ended]) -> None:
        """Say how all of them ended."""
        if self.is_quiet:
            return
        skipped = sum(it.is_skipped for it in ended)
        good = sum(it.exit_code == 0 for it in ended)
        counts = {"ok": good, "failed": len(ended) - good - skipped, "skipped": skipped}
        said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        spent_s = monotonic() - self._started
        write_notice(f"{self._total} targets: {said}, {spent_s:.1f} s")


def brief(ended: Ended) -> str:
    """Say in a few words how a target ended."""
    if ended.problem is not None:
        prefix = "" if ended.is_skipped else "error: "
        return prefix + ended.problem.message
    if ended.earlier is not None:
        return "done by the earlier run"
    if ended.result is None:
        return "ok" if ended.exit_code == 0 else f"exit {ended.exit_code}"
    return _facts(vars(ended.result)) or str(ended.result.status)


def _facts(facts: Mapping[str, object]) -> str:
    """Say what a migration did or would do; nothing for other results."""
    applied, state = facts.get("applied"), facts.get("state")
    if isinstance(applied, tuple):
        return f"{len(applied)} applied" if applied else "nothing to apply"
    if isinstance(state, str):
        pending = facts.get("pending")
        behind = f", {len(pending)} pending" if isinstance(pending, tuple) else ""
        return state.replace("_", " ") + (behind if pending else "")
    return ""
