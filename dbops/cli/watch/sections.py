"""Which sections does the picture of a sample have, line by line?"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from textwrap import wrap

from rich.text import Text

from dbops.cli.render import safe
from dbops.cli.watch.looks import age, line, plain, word
from dbops.operations.doctor.answer import Role
from dbops.operations.watch import (
    Checkup,
    Sample,
    SampledFinding,
    SampledServer,
    Transaction,
    Wait,
)

_LONGEST_NAME, _LEAST_ROOM = 24, 20


@dataclass(frozen=True)
class Section:
    """Lines that belong together."""

    lines: list[Text]
    """The most important ones first."""
    least: int = 1
    """So many lines are shown before any section gets more."""
    is_list: bool = False
    """Whether the last line says how many are left out."""


def waits(sample: Sample) -> Section:
    """Say who waits for whose lock."""
    rows = [_wait(server, it) for server in sample.servers for it in server.waits or ()]
    if not rows:
        silent = [it.role for it in sample.servers if it.waits is None]
        return _nothing("nobody waits for a lock", silent)
    waiting = {it.pid for server in sample.servers for it in server.waits or ()}
    head = line(f"{len(waiting)} waiting for a lock", style="bold yellow")
    return Section([head, *rows], least=2, is_list=True)


def transactions(sample: Sample) -> Section:
    """List the longest transactions of all servers."""
    found = [
        (server, it) for server in sample.servers for it in server.transactions or ()
    ]
    found.sort(key=lambda pair: -pair[1].age_s)
    hidden = [
        line(
            f"  {server.role}: others' transactions are hidden:",
            plain(server.requires, "magenta"),
        )
        for server in sample.servers
        if server.requires is not None
    ]
    if not found and not hidden:
        silent = [it.role for it in sample.servers if it.transactions is None]
        return _nothing("no transaction is open", silent)
    rows = [_transaction(server, it) for server, it in found]
    head = line("longest transactions", style="bold")
    return Section([head, *hidden, *rows], least=2, is_list=True)


def findings(checkup: Checkup | None, now: datetime, width: int) -> Section:
    """List what the doctor found, the worst first, in as many lines as it takes."""
    if checkup is None:
        return Section([line("the doctor is on the way", style="dim")], least=0)
    counted = ", ".join(
        f"{number} {name}"
        for name, number in checkup.counts.items()
        if number and name != "not_applicable"
    )
    ago = age(max((now - checkup.asked_at).total_seconds(), 0.0))
    head = line("doctor", word(checkup.status), counted, f"{ago} ago")
    head.stylize("bold", 0, len("doctor"))
    rows = list(chain.from_iterable(_finding(it, width) for it in checkup.findings))
    return Section([head, *rows], least=1, is_list=True)


def _nothing(said: str, silent: Iterable[Role]) -> Section:
    """Say that nothing was seen, and where nobody could look."""
    for role in silent:
        said += f"; the {role}'s answer is missing"
    return Section([line(said, style="dim")], least=0)


def _wait(server: SampledServer, it: Wait) -> Text:
    holder = f"{it.blocked_by}" if it.blocked_by else "a prepared transaction"
    state = it.blocker_state or "(state hidden)"
    open_for = "" if it.blocker_age_s is None else f" for {age(it.blocker_age_s)}"
    return line(
        f"  {age(it.waited_s):>11}",
        f"{server.role} {it.pid} waits for {holder}",
        f"{_name(it.blocker_application)} {state}{open_for}" if it.blocked_by else "",
        f"{_name(it.application)} wants {it.mode} on {it.object}",
    )


def _transaction(server: SampledServer, it: Transaction) -> Text:
    return line(
        f"  {age(it.age_s):>11}",
        f"{server.role} {it.pid} {_name(it.application)}",
        f"{it.state or ''}{', waits' if it.wait == 'Lock' else ''}",
        f"{it.user}@{it.database}",
        plain(it.statement, "dim"),
    )


def _name(application: str) -> str:
    """Return an application's name; a long one would leave no room for the rest."""
    if not application:
        return "(no name)"
    is_short = len(application) <= _LONGEST_NAME
    return application if is_short else f"{application[: _LONGEST_NAME - 1]}…"


def _finding(it: SampledFinding, width: int) -> Iterable[Text]:
    head = line(Text("  ") + word(it.severity), ", ".join(it.ids), "")
    first, *rest = _wrapped(f"{it.object}: {it.message}", width, head.cell_len + 2)
    yield line(head, first)
    yield from (line(more) for more in rest)
    if it.remedy:
        yield from (line(part, style="dim") for part in _wrapped(it.remedy, width))


def _wrapped(text: str, width: int, used: int = 0) -> list[str]:
    """Break a text into lines, of which something has used a part of the first."""
    room = max(width, used + _LEAST_ROOM)
    lines = wrap(
        safe(text), room, initial_indent=" " * (used or 5), subsequent_indent=" " * 5
    )
    return [lines[0][used:], *lines[1:]] if lines else [""]
