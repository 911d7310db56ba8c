"""Any answer as the output of a Nagios plugin.

https://nagios-plugins.org/doc/guidelines.html
https://icinga.com/docs/icinga-2/latest/doc/05-service-monitoring/#service-monitoring-plugin-api
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from dbops.cli.ended import Ended
from dbops.cli.render import safe
from dbops.cli.verdicts import called, sentence, verdict, verdicts
from dbops.results import Checked, Measure, Status, worst

_WORDS = {
    Status.OK: "OK",
    Status.WARN: "WARNING",
    Status.FAIL: "CRITICAL",
    Status.UNKNOWN: "UNKNOWN",
}
_CODES = {Status.OK: 0, Status.WARN: 1, Status.FAIL: 2, Status.UNKNOWN: 3}
_PLAIN_LABEL = re.compile(r"[A-Za-z0-9_.:/-]+")
_MOST_NAMED = 5


def plugin_output(
    command: str, ends: Sequence[Ended], *, are_several: bool
) -> tuple[str, int]:
    """Return what a plugin writes, and the exit code that says the same.

    The first line says all that a pager shows, and carries the numbers; a line for
    each verdict that is not good follows.

    Args:
        command: Its name.
        ends: How it ended on each target.
        are_several: Whether each has to be named.
    """
    status = worst(verdict(command, end) for end in ends)
    said = _of_several(command, ends) if are_several else sentence(ends[0])
    first = f"{command.upper()} {_WORDS[status]}: {_plain(said)}"
    numbers = " ".join(_numbers(ends, are_several=are_several))
    lines = [f"{first} | {numbers}" if numbers else first]
    for end in ends:
        prefix = f"{end.target}: " if are_several else ""
        lines += _details(command, end, prefix, beside=said)
    return "".join(f"{line}\n" for line in lines), _CODES[status]


def _of_several(command: str, ends: Sequence[Ended]) -> str:
    """Count the targets by verdict, and say what the worst of them say."""
    by_status = {end.target: verdict(command, end) for end in ends}
    counts = Counter(by_status.values())
    said = ", ".join(f"{counts[it]} {it}" for it in _WORDS if counts[it])
    bad = [
        f"{end.target}: {sentence(end)}"
        for status in (Status.FAIL, Status.UNKNOWN, Status.WARN)
        for end in ends
        if by_status[end.target] is status
    ]
    more = len(bad) - _MOST_NAMED
    named = [*bad[:_MOST_NAMED], *([f"{more} more"] if more > 0 else [])]
    return "; ".join([f"{len(ends)} targets: {said}", *named])


def _details(command: str, end: Ended, prefix: str, *, beside: str) -> Iterator[str]:
    for it in verdicts(command, end):
        if it.status is not Status.OK and not it.is_skipped:
            yield from _about(it, prefix, beside=beside)
    for it in verdicts(command, end):
        if it.is_skipped:
            yield f"{_plain(prefix)}[skipped] {_plain(f'{it.id}: {it.summary}')}"


def _about(it: Checked, prefix: str, *, beside: str) -> Iterator[str]:
    # What the first line says already is not said again.
    if prefix or it.summary != beside:
        yield _plain(f"{prefix}[{it.status}] {called(it)}: {it.summary}")
    for detail in it.details:
        yield _plain(f"{prefix}{detail}")


def _plain(text: str) -> str:
    """Keep a text on its line, and out of the numbers."""
    return safe(text).replace("|", r"\x7c")


def _numbers(ends: Iterable[Ended], *, are_several: bool) -> Iterator[str]:
    for end in ends:
        if end.result is None:
            continue
        measures = end.result.measures()
        times = Counter(it.name for it in measures)
        for it in measures:
            own = [it.name, *(it.labels.values() if times[it.name] > 1 else ())]
            name = "_".join(own)
            label = _label(f"{end.target}::{name}" if are_several else name)
            yield f"{label}={_perfdata(it)}"


def _label(name: str) -> str:
    name = safe(name).replace("=", "_").replace("|", r"\x7c")
    if _PLAIN_LABEL.fullmatch(name):
        return name
    return "'" + name.replace("'", "''") + "'"


def _perfdata(it: Measure) -> str:
    """Write a value with its unit and its limits; `U` where it is not known."""
    value = _number(it.value)
    fields = [f"{value}{it.unit}" if value else "U", _number(it.warn), _number(it.fail)]
    return ";".join(fields).rstrip(";")


def _number(value: float | None) -> str:
    """Write a number without an exponent, which plugins may not use."""
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:.6f}".rstrip("0").rstrip(".")
