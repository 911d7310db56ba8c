"""What was seen before, for as long as a line of a terminal is."""

from collections import deque
from collections.abc import Sequence

from dbops.operations.watch import Sample, SampledLag, SampledServer

_MOST = 400
_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = "_.-=+*#@"

Series = Sequence[float | None]
"""The oldest first; None is a gap."""


class History:
    """Numbers of the last samples by their name."""

    def __init__(self) -> None:
        self._series: dict[str, deque[float | None]] = {}

    def add(self, sample: Sample) -> None:
        """Take the numbers of a sample; what is unknown leaves a gap."""
        for server in sample.servers:
            self._append(f"{server.role} latency", server.latency_ms)
            self._append(f"{server.role} connections", _share(server))
        self._append("lag", None if sample.lag is None else lag_shown(sample.lag))

    def of(self, name: str) -> Series:
        """Return the numbers of that name."""
        return self._series.get(name, ())

    def _append(self, name: str, value: float | None) -> None:
        self._series.setdefault(name, deque(maxlen=_MOST)).append(value)


def _share(server: SampledServer) -> float | None:
    held = server.connections
    return None if held is None else held.in_use / max(held.usable, 1)


def lag_shown(lag: SampledLag) -> float | None:
    """Return the bound that is proved: the upper one where nothing is missing."""
    return lag.low_s or lag.high_s


def sparkline(series: Series, width: int, *, top: float, is_plain: bool = False) -> str:
    """Draw the last numbers, one character each; a gap is a blank.

    Args:
        series: The numbers.
        width: How many characters.
        top: The number that a full bar stands for.
        is_plain: Whether the terminal has ASCII only.
    """
    bars = _PLAIN_BARS if is_plain else _BARS
    last = list(series)[-width:] if width > 0 else []
    drawn = "".join(
        " " if it is None else bars[min(int(it / top * len(bars)), len(bars) - 1)]
        for it in last
    )
    return drawn.ljust(max(width, 0))


def most(series: Series, width: int) -> float | None:
    """Return the highest of the numbers that `sparkline` draws."""
    last = list(series)[-width:] if width > 0 else []
    return max((it for it in last if it is not None), default=None)
