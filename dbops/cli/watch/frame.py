"""One picture: what of all sections fits into a terminal of this size?"""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.text import Text

from dbops.cli.watch import sections
from dbops.cli.watch.gauges import Gauge
from dbops.cli.watch.history import History
from dbops.cli.watch.looks import Looks, clock, line, plain, word
from dbops.cli.watch.sections import Section
from dbops.operations.watch import Sample
from dbops.results import Status

_WIDE = 120
_GAP = 3


def frame(
    sample: Sample | None, history: History, size: tuple[int, int], looks: Looks
) -> RenderableType:
    """Return a picture that is at most `size` columns and lines.

    What does not fit is left out, the least urgent first.
    """
    width, height = size
    head = _head(sample, width, looks)
    if sample is None:
        return Group(head, _cut(line("connecting …"), width))
    if width >= _WIDE:
        return _side_by_side(head, sample, history, (width, height), looks)
    gauge = Gauge(history, width, looks)
    parts = [gauge.server(it, sample.sampled_at) for it in sample.servers]
    if sample.lag is not None:
        parts.append(gauge.lag(sample.lag))
    parts += _lists(sample, width)
    return Group(head, *fitted(parts, width, height - 1))


def _side_by_side(
    head: Text,
    sample: Sample,
    history: History,
    size: tuple[int, int],
    looks: Looks,
) -> RenderableType:
    """Put what is about servers on the left, what is about their clients beside it."""
    width, height = size
    left = (width - _GAP) // 2
    right = width - _GAP - left
    gauge = Gauge(history, left, looks)
    gauges = [gauge.server(it, sample.sampled_at) for it in sample.servers]
    if sample.lag is not None:
        gauges.append(gauge.lag(sample.lag))
    waiting, open_ones, found = _lists(sample, left)
    columns = (
        (fitted([*gauges, found], left, height - 1), left + _GAP),
        (fitted([waiting, open_ones], right, height - 1), right),
    )
    body = Layout(name="body")
    body.split_row(*(Layout(Group(*lines), size=wide) for lines, wide in columns))
    whole = Layout()
    whole.split_column(Layout(head, size=1), body)
    return whole


def _lists(sample: Sample, width: int) -> tuple[Section, Section, Section]:
    return (
        sections.waits(sample),
        sections.transactions(sample),
        sections.findings(sample.doctor, sample.sampled_at, width),
    )


def fitted(parts: Sequence[Section], width: int, height: int) -> list[Text]:
    """Return the lines that fit, a blank line between sections where there is room.

    Each section gets its least first, in their order; then they take turns.
    """
    given = [0] * len(parts)
    left, is_first, is_growing = height, True, True
    while is_growing:
        is_growing = is_first
        for number, part in enumerate(parts):
            wanted = part.least if is_first else 1
            more = _more(part, given[number], wanted, left)
            given[number] += more
            left -= more
            is_growing = is_growing or more > 0
        is_first = False
    shown = [_shown(part, n) for part, n in zip(parts, given, strict=True) if n]
    gap = [Text("")] if left >= len(shown) - 1 else []
    lines = [it for part in shown for it in [*part, *gap]]
    return [_cut(it, width) for it in lines[:height]]


def _more(part: Section, given: int, wanted: int, left: int) -> int:
    """Return how many lines a section gets when it is its turn."""
    missing = len(part.lines) - given
    if part.is_list and not given and wanted:
        # A heading without a row would say nothing.
        wanted = part.least if part.least <= left else 0
    return max(min(wanted, missing, left), 0)


def _shown(part: Section, number: int) -> list[Text]:
    """Return the first lines, and how many of a list are left out."""
    missing = len(part.lines) - number
    if not missing or not part.is_list or number <= part.least:
        return part.lines[:number]
    return [*part.lines[: number - 1], line(f"  {missing + 1} lines more", style="dim")]


def _head(sample: Sample | None, width: int, looks: Looks) -> Text:
    left = line(plain("dbops watch", "bold"), looks.target)
    if sample is not None:
        left = line(left, word(sample.status), clock(sample.sampled_at))
        if sample.doctor is not None and sample.doctor.status is not Status.OK:
            left = line(left, Text("doctor ") + word(sample.doctor.status))
    room = width - left.cell_len - len(looks.leave)
    if room < 1:
        return _cut(left, width)
    return left.append(" " * room).append(looks.leave, "dim")


def _cut(text: Text, width: int) -> Text:
    """Cut a line to the width of the terminal."""
    cut = text.copy()
    cut.truncate(width, overflow="ellipsis")
    cut.no_wrap = True
    return cut
