"""Any answer as Prometheus takes it: from a file, a gateway or an exporter.

A number that is not known is absent: never 0, never NaN.
https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
https://prometheus.io/docs/practices/naming/
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from dbops.cli.ended import Ended
from dbops.cli.render import safe
from dbops.cli.target import DEFAULT_TARGET
from dbops.cli.verdicts import verdict
from dbops.errors import Outcome
from dbops.results import Measure, Status

_SUFFIXES = {"s": "_seconds", "B": "_bytes", "%": "_ratio", "": ""}
# Whoever was not asked is neither up nor down.
_BEFORE_ASKING = ("settings", "secret")


class _Sample(NamedTuple):
    """One line, and what stands above all lines of its name."""

    name: str
    about: str
    labels: Mapping[str, str]
    value: float


def exposition(command: str, ends: Sequence[Ended], *, are_several: bool) -> str:
    """Return every known number, the lines of one name together.

    Args:
        command: Its name.
        ends: How it ended on each target.
        are_several: Whether each line has to name its target.
    """
    families: dict[str, dict[str, _Sample]] = {}
    for end in ends:
        is_named = are_several or end.target != DEFAULT_TARGET
        labels = {"target": end.target} if is_named else {}
        for it in _samples(command, end):
            sample = it._replace(labels={**labels, **it.labels})
            # A line that is there twice would spoil all of them.
            families.setdefault(it.name, {}).setdefault(_series(sample), sample)
    return "".join(_family(list(lines.items())) for lines in families.values())


def _samples(command: str, end: Ended) -> Iterator[_Sample]:
    stem = "dbops_" + _word(command)
    is_up = _is_up(end)
    if is_up is not None:
        about = "Whether the servers that were asked have answered."
        yield _Sample("dbops_up", about, {"command": command}, is_up)
    if end.took_s is not None:
        about = "How long the command took."
        yield _Sample("dbops_duration_seconds", about, {"command": command}, end.took_s)
    if end.is_answer:
        about = f"The verdict of dbops {command}."
        yield from _states(f"{stem}_status", about, {}, verdict(command, end))
    if end.result is None:
        return
    for check in end.result.checked():
        if not check.is_skipped:
            about = f"The verdict of each question of dbops {command}."
            labels = {"check": check.id}
            yield from _states(f"{stem}_check_status", about, labels, check.status)
    for measure in end.result.measures():
        yield from _of_measure(measure)


def _is_up(end: Ended) -> bool | None:
    if end.problem is None:
        return True if end.result is not None else None
    if end.problem.outcome is not Outcome.UNREACHABLE or end.is_skipped:
        return None
    return None if end.problem.phase in _BEFORE_ASKING else False


def _states(
    name: str, about: str, labels: Mapping[str, str], found: Status
) -> Iterator[_Sample]:
    for status in Status:
        yield _Sample(name, about, {**labels, "status": str(status)}, status is found)


def _of_measure(it: Measure) -> Iterator[_Sample]:
    if it.value is None or not math.isfinite(it.value):
        return
    suffix = _SUFFIXES[it.unit]
    # A unit is said once, and at the end.
    words = [word for word in _word(it.name).split("_") if f"_{word}" != suffix]
    name = f"dbops_{'_'.join(words)}{suffix}"
    value = it.value / 100 if it.unit == "%" else it.value
    labels = {_word(label): str(said) for label, said in it.labels.items()}
    yield _Sample(name, it.about or f"{it.name.replace('_', ' ')}.", labels, value)


def _family(lines: Iterable[tuple[str, _Sample]]) -> str:
    (_, first), *_ = lines = list(lines)
    about = _escaped(first.about, quotes=False)
    head = f"# HELP {first.name} {about}\n# TYPE {first.name} gauge\n"
    return head + "".join(f"{series} {_value(it.value)}\n" for series, it in lines)


def _series(it: _Sample) -> str:
    labels = ",".join(f'{name}="{_escaped(said)}"' for name, said in it.labels.items())
    return f"{it.name}{{{labels}}}" if labels else it.name


def _value(value: float) -> str:
    number = float(value)
    return str(int(number)) if number.is_integer() else repr(round(number, 9))


def _word(text: str) -> str:
    """Make a name of letters, digits and underscores; two of these are reserved."""
    word = re.sub(r"[^a-zA-Z0-9_]", "_", text).strip("_")
    return word if word[:1].isalpha() else f"_{word}"


def _escaped(text: str, *, quotes: bool = True) -> str:
    r"""Escape as the format wants it: `\\`, `\n`, and `\"` in a label."""
    lines = (safe(line).replace("\\", r"\\") for line in text.split("\n"))
    escaped = r"\n".join(lines)
    return escaped.replace('"', r"\"") if quotes else escaped
