"""Which process serves a data folder?

A process id alone proves nothing: after a crash or a restart of a container it can
belong to a stranger, or to a zombie that nobody collects.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_STATUS_LINE = 8


@dataclass(frozen=True, slots=True)
class PidFile:
    """What a server writes into its `postmaster.pid`."""

    pid: int
    port: int | None
    is_ready: bool


def read_pid_file(data: Path) -> PidFile | None:
    """Read `postmaster.pid`; None when there is none, or it is only half written."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        # A single-user server writes its id as a negative number.
        pid = abs(int(lines[0]))
    except (OSError, ValueError, IndexError):
        return None
    port = lines[3] if len(lines) > 3 else ""  # noqa: PLR2004 # the file's own order
    status = lines[_STATUS_LINE - 1] if len(lines) >= _STATUS_LINE else ""
    return PidFile(
        pid=pid,
        port=int(port) if port.isdigit() else None,
        is_ready=status.strip() == "ready",
    )


def server_pid(data: Path) -> int | None:
    """Return the process id of the server that runs on `data`, or None."""
    file = read_pid_file(data)
    return file.pid if file is not None and is_server(file.pid, data) else None


def is_alive(pid: int) -> bool:
    """Say whether a process exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        state = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return not (_PROC / "self").exists()
    return state not in {"Z", "X"}


def is_server(pid: int, data: Path) -> bool:
    """Say whether `pid` is a live server on `data`."""
    if not is_alive(pid):
        return False
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return not (_PROC / "self").exists()
    if Path(os.fsdecode(words[0])).name != "postgres":
        return False
    # Not every container lets root read the folder of another account's process,
    # and everybody can read its command line.
    return os.fsencode(data) in words or _folder(str(pid)) == data


def processes_on(data: Path) -> list[int]:
    """List the processes that work in `data`, a dead server's orphans too."""
    if not _PROC.is_dir():
        return []
    return [
        int(entry.name)
        for entry in _PROC.iterdir()
        if entry.name.isdigit()
        and _folder(entry.name) == data
        and is_alive(int(entry.name))
    ]


def _folder(pid: str) -> Path | None:
    with suppress(OSError):
        return Path(os.readlink(_PROC / pid / "cwd"))  # noqa: PTH115 # "(deleted)" stays text
    return None
