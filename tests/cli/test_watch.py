"""The live view on a real pseudo-terminal, and its lines in a pipe."""

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pyte
import pytest
from rich.console import Console
from rich.segment import Segment

from dbops.cli.watch.frame import frame
from dbops.cli.watch.history import History
from dbops.cli.watch.looks import Looks
from dbops.engine.connect import connect
from dbops.local import pair as local
from dbops.local.state import load
from dbops.operations.doctor.answer import Severity
from dbops.operations.watch import (
    Checkup,
    Connections,
    Sample,
    SampledFinding,
    SampledLag,
    SampledServer,
    State,
    Transaction,
    Wait,
)
from dbops.results import Status
from tests.conftest import RunDbops, Served, clean_environment, new_name

SECRET = "s3cr3t-sentinel"
REFUSED = f"postgresql://u:{SECRET}@127.0.0.1:1/x"
# Opened by a session's first process, a terminal becomes its own: keys are signals.
MAIN = (
    "import os; os.open(os.ttyname(0), os.O_RDWR); import dbops.cli; dbops.cli.main()"
)
BROKEN = """
import os; os.open(os.ttyname(0), os.O_RDWR)
from dbops.cli.watch import live
picture = live.frame
def frame(sample, *rest):
    if sample is not None:
        raise RuntimeError("a defect")
    return picture(sample, *rest)
live.frame = frame
import sys; sys.argv[1:] = ["watch"]
import dbops.cli; dbops.cli.main()
"""


@dataclass
class Terminal:
    """A pseudo-terminal with dbops in it, and what its screen shows."""

    process: "subprocess.Popen[bytes]"
    master: int
    slave: int
    before: list[Any]
    screen: Any = field(default_factory=lambda: pyte.Screen(80, 24))
    written: bytes = b""

    def __post_init__(self) -> None:
        self.stream = pyte.ByteStream(self.screen)
        os.set_blocking(self.master, False)

    def read(self) -> bool:
        """Take what has been written since; False where there was nothing."""
        try:
            found = os.read(self.master, 1 << 16)
        except OSError:
            return False
        self.written += found
        self.stream.feed(found)
        return True

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def until(self, wanted: str, limit_s: float = 30) -> str:
        """Read until the screen shows what matches."""
        deadline = time.monotonic() + limit_s
        while not re.search(wanted, self.text):
            assert time.monotonic() < deadline, f"no {wanted} on:\n{self.text}"
            if not self.read():
                time.sleep(0.01)
        return self.text

    def resize(self, columns: int, lines: int) -> None:
        self.screen.resize(lines, columns)
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def ended(self, limit_s: float = 20) -> int:
        """Read to the end of the process, and return its exit code."""
        deadline = time.monotonic() + limit_s
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end:\n{self.text}"
            if not self.read():
                time.sleep(0.01)
        while self.read():
            pass
        return self.process.returncode

    def is_as_before(self) -> bool:
        """Whether the terminal was given back: screen, cursor, keys."""
        return (
            self.written.count(b"\x1b[?1049h") == 1
            and self.written.count(b"\x1b[?1049l") == 1
            and self.written.rindex(b"\x1b[?25h") > self.written.rindex(b"\x1b[?25l")
            and termios.tcgetattr(self.slave) == self.before
        )


@pytest.fixture
def terminals(cache_dir: Path) -> Generator["Start"]:
    start = Start(cache_dir)
    yield start
    for terminal in start.started:
        with suppress(ProcessLookupError):
            terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)
        os.close(terminal.slave)


@dataclass
class Start:
    """Starts dbops in a terminal of its own."""

    cache: Path
    started: list[Terminal] = field(default_factory=list)

    def __call__(
        self,
        *words: str,
        env: Mapping[str, str],
        size: tuple[int, int] = (100, 30),
        program: str = MAIN,
    ) -> Terminal:
        master, slave = pty.openpty()
        before = termios.tcgetattr(slave)
        columns, lines = size
        fcntl.ioctl(
            master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0)
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**clean_environment(self.cache), "TERM": "xterm-256color", **env},
        )
        terminal = Terminal(
            process, master, slave, before, screen=pyte.Screen(columns, lines)
        )
        self.started.append(terminal)
        return terminal


QUICK = ("watch", "--interval", "100ms")


@pytest.mark.parametrize(
    ("how", "code"),
    [("q", 0), ("escape", 0), ("ctrl-c", 130), ("sigterm", 143)],
)
def test_leaving_gives_the_terminal_back(
    terminals: "Start", served: Served, how: str, code: int
) -> None:
    terminal = terminals(*QUICK, env=served.environment)
    text = terminal.until(r"lag +≤ ")
    assert re.search(r"writer  up .* primary ", text)
    assert re.search(r"reader  up .* standby ", text)
    assert termios.tcgetattr(terminal.slave) != terminal.before
    keys = {"q": b"q", "escape": b"\x1b", "ctrl-c": b"\x03"}
    # No key of ours, although it begins with Esc.
    terminal.press(b"\x1b[A")
    terminal.screen.reset()
    terminal.until(r"lag +≤ ")
    assert terminal.process.poll() is None
    if how == "sigterm":
        terminal.process.send_signal(signal.SIGTERM)
    else:
        terminal.press(keys[how])
    assert terminal.ended() == code
    assert terminal.is_as_before()
    assert b"Traceback" not in terminal.written
    said = terminal.written.rpartition(b"\x1b[?1049l")[2]
    assert (b"error" in said) == (code != 0)


def test_a_defect_gives_the_terminal_back_too(
    terminals: "Start", served: Served
) -> None:
    terminal = terminals(env=served.environment, program=BROKEN)
    assert terminal.ended() == 70
    assert terminal.is_as_before()
    said = terminal.written.rpartition(b"\x1b[?1049l")[2]
    assert b"this is a bug in dbops: RuntimeError" in said
    assert b"Traceback" not in said


def test_ctrl_z_gives_it_back_until_it_goes_on(
    terminals: "Start", served: Served
) -> None:
    terminal = terminals(*QUICK, env=served.environment)
    terminal.until(r"lag +≤ ")
    terminal.process.send_signal(signal.SIGTSTP)
    deadline = time.monotonic() + 20
    status = Path(f"/proc/{terminal.process.pid}/stat")
    while status.read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline
        terminal.read()
    while terminal.read():
        pass
    assert terminal.is_as_before()
    terminal.screen.reset()
    terminal.process.send_signal(signal.SIGCONT)
    terminal.until(r"lag +≤ ")
    terminal.press(b"q")
    assert terminal.ended() == 0
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_every_size_shows_what_fits_and_nothing_garbled(
    terminals: "Start", served: Served
) -> None:
    # No sample comes meanwhile: it is the change of size that draws.
    terminal = terminals("watch", "--interval", "10m", env=served.environment)
    terminal.until(r"lag +[≤u]")
    for columns, lines in ((40, 10), (200, 60), (79, 24), (120, 12), (20, 3), (1, 1)):
        terminal.resize(columns, lines)
        terminal.screen.reset()
        last = "the doctor is" if lines >= 24 else "nobody waits"
        terminal.until(last if columns > 20 else r"^[d…]")
        first, *rest = terminal.lines
        assert first.startswith("dbops watch"[:columns][: columns - 1])
        assert [line for line in rest if "dbops watch" in line] == []
        if columns > 20:
            assert rest[0].startswith("writer  up")
            assert len([line for line in rest if line.startswith("reader  up")]) == 1
        if lines >= 24:
            assert terminal.text.count("  connections ") == 2
            assert "no transaction is open" in terminal.text
    terminal.press(b"q")
    assert terminal.ended() == 0


def a_bad_day() -> Sample:
    """A sample with much to say."""
    now = datetime.now(UTC)
    writer = SampledServer(
        role="writer",
        status=Status.WARN,
        state=State.UP,
        host="a-host-with-a-long-name.example.org",
        port=5432,
        server_version="18.6",
        is_in_recovery=False,
        latency_ms=1.25,
        connections=Connections(in_use=88, usable=97, by_state=None),
        transactions=tuple(
            Transaction(
                pid=number,
                age_s=10.0**number,
                state="idle in transaction",
                wait="Lock",
                user="日本語",
                database="shop",
                application="日本語" * number,
                statement="UPDATE orders SET …",
            )
            for number in range(8)
        ),
        waits=(
            Wait(
                pid=2,
                application="web",
                waited_s=None,
                mode="AccessExclusiveLock",
                object="public.orders",
                blocked_by=0,
                blocker_application="",
                blocker_state=None,
                blocker_age_s=None,
            ),
        ),
        requires="GRANT pg_read_all_stats TO app",
    )
    away = SampledServer(role="reader", status=Status.FAIL, state=State.AWAY, since=now)
    found = SampledFinding(
        ids=("D29", "D31"),
        severity=Severity.FAIL,
        object="public.orders_customer_id_idx",
        message="the index is not valid, " * 5,
        remedy="DROP INDEX CONCURRENTLY public.orders_customer_id_idx",
    )
    return Sample(
        status=Status.FAIL,
        sampled_at=now,
        servers=(writer, away),
        lag=SampledLag(status=Status.UNKNOWN, summary="the reader gives no answer"),
        doctor=Checkup(
            asked_at=now,
            status=Status.FAIL,
            counts={"ok": 40, "fail": 3},
            findings=(found, found, found),
        ),
    )


def test_no_picture_is_larger_than_the_terminal() -> None:
    sample, history = a_bad_day(), History()
    for _ in range(500):
        history.add(sample)
    looks = Looks("prod", "q leaves", is_plain=False)
    for columns in (1, 2, 20, 40, 59, 60, 80, 83, 84, 119, 120, 121, 200):
        console = Console(width=columns, height=99, file=StringIO())
        for lines in (1, 2, 3, 9, 10, 11, 24, 60):
            picture = frame(sample, history, (columns, lines), looks)
            options = console.options.update(width=columns, height=lines)
            # As it is, before the screen would cut it.
            drawn = list(Segment.split_lines(console.render(picture, options)))
            assert len(drawn) <= lines
            assert all(Segment.get_line_length(line) <= columns for line in drawn)
    # The smallest one still says of each thing that it is bad.
    picture = frame(sample, history, (40, 10), looks)
    console = Console(width=40, file=StringIO())
    with console.capture() as captured:
        console.print(picture)
    shown = captured.get()
    for told in ("writer  up", "reader  away", "lag ", "1 waiting", "doctor  fail"):
        assert told in shown


async def test_a_reader_that_stops_is_away_and_comes_back(
    terminals: "Start", cache_dir: Path
) -> None:
    await local.up(cache_dir=cache_dir)
    try:
        terminal = terminals(*QUICK, env={})
        bars = "[▁▂▃▄▅▆▇█]"
        terminal.until(rf"lag +≤ .*{bars}{{3}}")
        pid = load(cache_dir / "pairs" / "default").reader_pid
        assert pid is not None
        os.kill(pid, signal.SIGINT)
        away = terminal.until(r"reader  away  since \d\d:\d\d:\d\dZ \(")
        assert re.search(r"lag +unknown", away)
        assert "writer  up" in away
        terminal.until(r"nothing listens on")
        await local.up(cache_dir=cache_dir)
        terminal.until(r"reader  up")
        # What was seen before is there as long as it has room; what was not is a gap.
        terminal.until(rf"lag +≤ .*({bars}{{3}}|ms ) {{4,}}{bars}")
        terminal.press(b"q")
        assert terminal.ended() == 0
        assert terminal.is_as_before()
    finally:
        await local.down(cache_dir=cache_dir)


async def test_names_cannot_drive_the_terminal(
    terminals: "Start", served: Served
) -> None:
    hostile = "\x1b]0;owned\x07[bold]x[/bold]\n"
    quoted = f'"{hostile}{new_name()}"'
    admin = await connect(served.writer)
    await admin.execute(f"CREATE DATABASE {quoted} TEMPLATE template0")
    try:
        owned = replace(
            served.writer,
            database=quoted.strip('"'),
            application_name="[red]app[/red] " + "w" * 40,
        )
        session = await connect(owned)
        await session.execute('BEGIN; SELECT 1 AS "\x1b[2J\n[link=x]"')
        terminal = terminals(*QUICK, env=served.environment, size=(119, 30))
        text = await asyncio.to_thread(
            terminal.until, r"\[red\]app\[/red\] w+… +idle in transaction"
        )
        terminal.press(b"q")
        assert await asyncio.to_thread(terminal.ended) == 0
        await session.close()
    finally:
        await admin.execute(f"DROP DATABASE {quoted} WITH (FORCE)")
        await admin.close()
    assert r"\x1b]0;owned\x07[bold]x[/bold]" in text
    assert b"\x1b]0;" not in terminal.written
    assert b"\x1b[2J" not in terminal.written


def pairs(line: str) -> dict[str, str]:
    """Read a line as its readers do."""
    when, _, rest = line.partition(" ")
    assert datetime.fromisoformat(when).tzinfo == UTC
    assert when.endswith("Z")
    return dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', rest))


def test_a_pipe_gets_a_line_for_each_sample(dbops: RunDbops, served: Served) -> None:
    ran = dbops(*QUICK, "--count", "3", env=served.environment)
    assert ran.code == 0, ran.err
    assert ran.err == ""
    assert "\x1b" not in ran.out
    lines = [pairs(line) for line in ran.out.splitlines()]
    assert len(lines) == 3
    for found in lines:
        assert (found["writer"], found["reader"]) == ("up", "up")
        assert float(found["writer_latency_ms"]) > 0
        assert float(found["reader_latency_ms"]) > 0
        assert int(found["writer_connections"]) <= int(found["writer_usable"])
        assert float(found["lag_low_s"]) >= 0
        assert json.loads(found["lag"])


def test_json_is_a_document_a_line(dbops: RunDbops, served: Served) -> None:
    ran = dbops(*QUICK, "--count", "2", "--format", "json", env=served.environment)
    assert ran.code == 0, ran.err
    documents = [json.loads(line) for line in ran.out.splitlines()]
    assert len(documents) == 2
    for found in documents:
        assert set(found) == {
            "command",
            "target",
            "status",
            "exit_code",
            "error",
            "result",
        }
        assert found["command"] == "watch"
        assert [it["state"] for it in found["result"]["servers"]] == ["up", "up"]


def test_what_is_away_is_unknown_and_never_zero(
    dbops: RunDbops, served: Served
) -> None:
    env = {**served.environment, "DATABASE_READER_URL": REFUSED}
    ran = dbops(*QUICK, "--count", "2", env=env)
    assert ran.code == 5
    for line in ran.out.splitlines():
        found = pairs(line)
        assert (found["status"], found["writer"], found["reader"]) == (
            "fail",
            "up",
            "away",
        )
        assert found["reader_since"].endswith("Z")
        for name in (
            "reader_latency_ms",
            "reader_connections",
            "reader_oldest_transaction_s",
            "reader_waiting_for_locks",
            "lag_low_s",
            "lag_high_s",
            "bytes_behind",
        ):
            assert found[name] == "unknown"
        assert "nothing listens on 127.0.0.1:1" in json.loads(found["error"])
    assert SECRET not in ran.out + ran.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--format", "nagios"), 3, "watch does not speak nagios"),
        (("--format", "junit"), 2, "watch does not speak junit"),
        (("--warn", "16MB"), 2, "--warn 16MB"),
        (("--interval", "5"), 2, "--interval has the wrong form"),
        (("--count", "0"), 2, "--count has the wrong form"),
        (("--target", "one", "--target", "two"), 2, "watch shows one target, and 2"),
    ],
)
def test_what_makes_no_sense_is_refused(
    dbops: RunDbops, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "dbops.toml").write_text(
        f'[targets.one]\ndatabase_url = "{REFUSED}"\n'
        f'[targets.two]\ndatabase_url = "{REFUSED}"\n'
    )
    env = {} if "--target" in words else {"DATABASE_URL": REFUSED}
    ran = dbops("watch", *words, env=env)
    assert ran.code == code
    assert said in ran.out + ran.err
    assert SECRET not in ran.out + ran.err
    assert "Traceback" not in ran.out + ran.err


def test_a_wrong_password_is_said_at_once(terminals: "Start", served: Served) -> None:
    url = f"postgresql://dbops:{SECRET}@{served.writer.addresses[0]}/{served.name}"
    terminal = terminals("watch", env={"DATABASE_URL": url})
    assert terminal.ended() == 4
    assert terminal.is_as_before()
    assert b"password" in terminal.written.rpartition(b"\x1b[?1049l")[2]
    assert SECRET.encode() not in terminal.written


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_lines_cleanly(
    served: Served, cache_dir: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "dbops", *QUICK],
        env={**clean_environment(cache_dir), **served.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert pairs(process.stdout.readline())["status"]
        process.send_signal(number)
        rest, said = process.stdout.read(), process.stderr.read()
    assert process.returncode == 128 + number
    assert all(pairs(line) for line in rest.splitlines())
    assert "Traceback" not in said


def test_a_pipe_that_is_closed_ends_it(served: Served, cache_dir: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "dbops", *QUICK],
        env={**clean_environment(cache_dir), **served.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 128 + signal.SIGPIPE
