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
    facts = _facts(vars(ended.result))
    if facts or not ended.result.checked():
        return facts or str(ended.result.status)
    return ended.result.headline()


def _facts(facts: Mapping[str, object]) -> str:
    """Say what was done or is to be done; nothing where the status says it all."""
    match facts:
        case {"applied": tuple() as applied}:
            return f"{len(applied)} applied" if applied else "nothing to apply"
        case {"state": str() as state, "pending": tuple() as pending} if pending:
            return f"{state.replace('_', ' ')}, {len(pending)} pending"
        case {"state": str() as state}:
            return state.replace("_", " ")
        case {"planned": tuple() as planned}:
            return f"{len(planned)} to apply" if planned else "nothing to apply"
        case {"created": bool() as created}:
            return "created" if created else "existed"
        case _:
            return ""
