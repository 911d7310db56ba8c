"""What did the user choose: which checks, which thresholds, which findings are fine?"""

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dbops.errors import UsageError
from dbops.limits import Amount, Limit, amount, amount_text
from dbops.operations.doctor.answer import Accepted, Finding
from dbops.operations.doctor.check import Check, Limits

_BEGINS_IGNORED = re.compile(r"[\w*?\[\]]+\s*(:|#|$)")
_BEGINS_LIMIT = re.compile(r"[^,=]+=")


class Ignored(NamedTuple):
    """Findings that somebody has accepted."""

    check_ids: frozenset[str]
    """Of these checks."""
    pattern: str
    """About objects that match this, as a glob or literally."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class Choices:
    """What the user chose."""

    only: frozenset[str] = frozenset()
    """The ids to run; empty for all that are not opt-in."""
    skip: frozenset[str] = frozenset()
    """The ids to leave out."""
    ignored: tuple[Ignored, ...] = ()
    """The findings to accept."""
    limits: Mapping[tuple[str, str], tuple[Amount, Amount | None]] | None = None
    """Check and measure → thresholds instead of its own."""

    def runs(self, check: Check) -> bool:
        """Whether a check is wanted."""
        if check.id in self.skip:
            return False
        return check.id in self.only if self.only else not check.is_opt_in

    def limits_of(self, check: Check) -> Limits:
        """Return the thresholds that count for a check."""
        said = self.limits or {}
        return {
            name: _changed(limit, said[check.id, name])
            if (check.id, name) in said
            else limit
            for name, limit in check.limits.items()
        }

    def sorted_out(
        self, check: Check, findings: Iterable[Finding]
    ) -> tuple[list[Finding], list[Accepted]]:
        """Tell the findings that count from those that were accepted."""
        counting: list[Finding] = []
        accepted: list[Accepted] = []
        for finding in findings:
            reason = self._reason(check, finding)
            if reason is None:
                counting.append(finding)
            else:
                accepted.append(
                    Accepted(
                        object=finding.object,
                        message=finding.message,
                        database=finding.database,
                        reason=reason,
                    )
                )
        return counting, accepted

    def _reason(self, check: Check, finding: Finding) -> str | None:
        name = finding.object
        for check_ids, pattern, reason in self.ignored:
            is_meant = name == pattern or fnmatch.fnmatchcase(name, pattern)
            if check.id in check_ids and is_meant:
                return reason
        return None


def choices(
    known: Sequence[Check],
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    ignore: Sequence[str] = (),
    reasons: Sequence[str] = (),
    limits: Sequence[str] = (),
) -> Choices:
    """Read what the user chose.

    Args:
        known: Every check there is.
        only: Ids to run.
        skip: Ids to leave out.
        ignore: `ID[:OBJECT]`, both with globs; ` # why` may follow.
        reasons: Why they are ignored: one for all, or one for each without a why.
        limits: `ID=WARN[,FAIL]`, or `ID.MEASURE=…`.

    Raises:
        UsageError: If an id, a measure or a unit is unknown, a threshold cannot be
            read, a reason is missing, or nothing is left to ask.
    """
    by_id = {check.id: check for check in known}
    wanted = _ids(by_id, only, "--only")
    unwanted = _ids(by_id, skip, "--skip")
    if (wanted or frozenset(by_id)) <= unwanted:
        raise UsageError(
            "--skip leaves out all that is to be asked", hint="skip less of it"
        )
    return Choices(
        only=wanted,
        skip=unwanted,
        ignored=_ignored(by_id, _rejoined(ignore, _BEGINS_IGNORED), reasons),
        limits=dict(_limit(by_id, it) for it in _rejoined(limits, _BEGINS_LIMIT)),
    )


def _ids(
    by_id: Mapping[str, Check], texts: Sequence[str], option: str
) -> frozenset[str]:
    """Read `D20` and `D20,D21`."""
    return frozenset(_id(by_id, it, option) for text in texts for it in text.split(","))


def _id(by_id: Mapping[str, Check], text: str, option: str) -> str:
    wanted = text.strip().upper()
    if wanted not in by_id:
        raise _no_such_check(by_id, text, option)
    return wanted


def _no_such_check(by_id: Mapping[str, Check], text: str, option: str) -> UsageError:
    return UsageError(
        f"{option} {text}: there is no such check",
        hint=f"the checks are {min(by_id)} to {max(by_id)}",
    )


def _ignored(
    by_id: Mapping[str, Check], ignore: Sequence[str], reasons: Sequence[str]
) -> tuple[Ignored, ...]:
    split = [text.partition(" # ") for text in ignore]
    missing = sum(not why.strip() for _, _, why in split)
    given = list(reasons) * missing if len(reasons) == 1 else list(reasons)
    if len(given) != missing:
        raise UsageError(
            "every --ignore takes a --reason",
            hint='dbops doctor --ignore "D31:public.ix_*" --reason "dropped in May"',
        )
    found = []
    for what, _, why in split:
        check_id, _, pattern = what.partition(":")
        reason = why.strip() or given.pop(0)
        ids = fnmatch.filter(by_id, check_id.strip().upper())
        if not ids:
            raise _no_such_check(by_id, check_id, "--ignore")
        found.append(Ignored(frozenset(ids), pattern.strip() or "*", reason))
    return tuple(found)


def _rejoined(texts: Sequence[str], begins: re.Pattern[str]) -> list[str]:
    """Put `D20=5m,30m` together again where a list was split at its commas."""
    joined: list[str] = []
    for text in texts:
        if begins.match(text) or not joined:
            joined.append(text)
        else:
            joined[-1] += f",{text}"
    return joined


def _limit(
    by_id: Mapping[str, Check], text: str
) -> tuple[tuple[str, str], tuple[Amount, Amount | None]]:
    name, _, values = text.partition("=")
    check_id, _, measure = name.partition(".")
    check = by_id[_id(by_id, check_id, "--limit")]
    measure = measure.strip() or next(iter(check.limits), "")
    if measure not in check.limits:
        raise UsageError(
            f"--limit {text}: {check.id} has no such threshold",
            hint=f"it has: {', '.join(check.limits) or 'none'}",
        )
    default = check.limits[measure]
    try:
        warn, *rest = [amount(part) for part in values.split(",")]
    except ValueError as error:
        raise _unreadable(text, default, str(error)) from None
    fail = rest[0] if rest else None
    if len(rest) > 1 or any(it.unit != default.unit for it in (warn, *rest)):
        raise _unreadable(text, default, "one or two amounts of one unit")
    if fail is not None and fail.value < warn.value:
        raise _unreadable(text, default, "let it warn before it fails")
    return (check.id, measure), (warn, fail)


def _unreadable(text: str, default: Limit, why: str) -> UsageError:
    said = [it for it in (default.warn, default.fail) if it is not None]
    now = ",".join(amount_text(it, default.unit) for it in said)
    return UsageError(f"--limit {text}: {why}", hint=f"the default is {now or 'none'}")


def _changed(default: Limit, said: tuple[Amount, Amount | None]) -> Limit:
    warn, fail = said
    high = default.fail if fail is None else fail.value
    return Limit(
        warn.value, high if high is None else max(high, warn.value), default.unit
    )
