"""What is drawn as a number with its history: servers and the reader's lag."""

from bisect import bisect
from datetime import datetime

from rich.text import Text

from dbops.cli.watch.history import History, Series, lag_shown, most, sparkline
from dbops.cli.watch.looks import Looks, age, clock, line, plain, word
from dbops.cli.watch.sections import Section
from dbops.operations.watch import Connections, SampledLag, SampledServer, State

# A bar is drawn against this at least, or noise would fill the line.
_LEAST_MS, _LEAST_LAG_S = 1.0, 0.1
_LABEL, _VALUE = 13, 11
_LONGEST = 80
# How wide the line has to be for a remark at its end, and how wide that may be.
_WIDE, _TAILS = (60, 84), (0, 24, 36)


class Gauge:
    """Draws numbers with their history into lines of one width."""

    def __init__(self, history: History, width: int, looks: Looks) -> None:
        self._history = history
        self._looks = looks
        room = width - _LABEL - _VALUE - 2
        self._tail = _TAILS[bisect(_WIDE, width)]
        self._bars = max(min(room - self._tail, _LONGEST), 0)

    def server(self, server: SampledServer, now: datetime) -> Section:
        """Describe one server."""
        where = None if server.host is None else f"{server.host}:{server.port}"
        version = server.server_version and f"PostgreSQL {server.server_version}"
        kind = {True: "standby", False: "primary"}.get(server.is_in_recovery or False)
        is_up = server.state is State.UP
        head = line(
            plain(server.role, "bold"),
            word(server.state),
            *([version, kind, where] if is_up else [_since(server, now), where]),
        )
        lines = [head]
        if server.error is not None:
            lines.append(line(f"  {server.error.message}", style="red"))
        if server.note is not None:
            lines.append(line(f"  {server.note}", style="yellow"))
        return Section([*lines, self._latency(server), self._connections(server)], 2)

    def lag(self, lag: SampledLag) -> Section:
        """Describe how far the reader is behind."""
        shown = lag_shown(lag)
        sign = ("≥" if lag.low_s else "≤") if not self._looks.is_plain else ""
        if self._looks.is_plain and shown is not None:
            sign = ">=" if lag.low_s else "<="
        value = "unknown" if shown is None else f"{sign} {age(shown)}"
        series = self._history.of("lag")
        highest = most(series, self._bars)
        top = max(highest or 0.0, _LEAST_LAG_S)
        tail = "" if highest is None else f"most {age(highest)}"
        first = self._line("lag", value, series, top, tail)
        first.stylize("bold", 0, len("lag"))
        lines = [first, line(Text("  ") + word(lag.status), lag.summary)]
        if lag.requires is not None:
            lines.append(line(f"  {lag.requires}", style="magenta"))
        return Section(lines, 2)

    def _latency(self, server: SampledServer) -> Text:
        series = self._history.of(f"{server.role} latency")
        highest = most(series, self._bars)
        tail = "" if highest is None else f"most {highest:.3g} ms"
        latency = server.latency_ms
        value = "unknown" if latency is None else f"{latency:.3g} ms"
        top = max(highest or 0.0, _LEAST_MS)
        return self._line("  latency", value, series, top, tail)

    def _connections(self, server: SampledServer) -> Text:
        series = self._history.of(f"{server.role} connections")
        held = server.connections
        value = "unknown" if held is None else f"{held.in_use} of {held.usable}"
        tail = "" if held is None else _states(held)
        return self._line("  connections", value, series, 1.0, tail)

    def _line(
        self, label: str, value: str, series: Series, top: float, tail: str
    ) -> Text:
        drawn = sparkline(series, self._bars, top=top, is_plain=self._looks.is_plain)
        text = Text(f"{label:<{_LABEL}}{value:>{_VALUE}}  ")
        text.append(drawn, "cyan")
        return text.append(f"  {tail}" if self._tail else "", "dim")


def _since(server: SampledServer, now: datetime) -> str:
    if server.since is None:
        return ""
    lasted_s = max((now - server.since).total_seconds(), 0.0)
    return f"since {clock(server.since)} ({age(lasted_s)})"


def _states(held: Connections) -> str:
    if held.by_state is None:
        return "states are hidden"
    return ", ".join(f"{number} {state}" for state, number in held.by_state.items())
