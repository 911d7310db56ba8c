"""Is a local pair running, and where?

On the path of every command: reads two small files and asks for two processes.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import SecretStr

from dbops.endpoint import Address, Endpoint
from dbops.errors import ConfigError
from dbops.local.folders import cache_home, pair_folder, write_private
from dbops.local.processes import is_server

HOST = "127.0.0.1"
USER = "dbops"
DATABASE = "postgres"


@dataclass(frozen=True)
class Pair:
    """A writer and its standby that can be connected to."""

    name: str
    folder: Path
    writer: Endpoint
    reader: Endpoint
    writer_pid: int | None
    reader_pid: int | None
    server_version: str
    """As the server writes it, such as `18.6`."""
    binaries: str
    """Where the server programs come from."""


@dataclass(frozen=True)
class Record:
    """What `pair.json` remembers between two commands."""

    wanted: bool = False
    """Whether the last word was `up`; a dead server is then a crashed one."""
    binaries: str = ""
    server_version: str = ""
    sockets: str = ""
    writer_port: int | None = None
    reader_port: int | None = None
    writer_pid: int | None = None
    reader_pid: int | None = None


def load(folder: Path) -> Record:
    """Read what is known about the pair in `folder`.

    Raises:
        ConfigError: If the file is missing or damaged.
    """
    try:
        return Record(**json.loads((folder / "pair.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"cannot read {folder / 'pair.json'}",
            hint="make the pair anew with: dbops local reset",
            phase="local",
        ) from error


def save(folder: Path, record: Record) -> None:
    """Remember `record`."""
    write_private(folder / "pair.json", json.dumps(asdict(record), indent=1) + "\n")


def pair_of(name: str, folder: Path, record: Record) -> Pair:
    """Describe the pair of `record` with the password from its file.

    Raises:
        ConfigError: If the password cannot be read.
    """
    try:
        password = SecretStr((folder / "password").read_text().strip())
    except OSError as error:
        raise ConfigError(
            f"cannot read {folder / 'password'}",
            hint="use the account that started the pair, or: dbops local reset",
            phase="local",
        ) from error
    return Pair(
        name=name,
        folder=folder,
        writer=endpoint(HOST, record.writer_port, password),
        reader=endpoint(HOST, record.reader_port or record.writer_port, password),
        writer_pid=record.writer_pid,
        reader_pid=record.reader_pid,
        server_version=record.server_version,
        binaries=record.binaries,
    )


def endpoint(host: str, port: int | None, password: SecretStr | None) -> Endpoint:
    """Describe how to connect to one of the two servers."""
    return Endpoint(
        addresses=(Address(host, port or 0),),
        user=USER,
        password=password,
        database=DATABASE,
        # The server programs of the wheel are built without TLS.
        sslmode="disable",
    )


def running(*, name: str = "default", cache_dir: Path | None = None) -> Pair | None:
    """Return the pair if it is up; None when it was never made or taken down.

    A pair that has lost one of its servers counts as up, so that a check finds the
    dead one; a pair that has lost both does not.
    """
    # There os.kill(pid, 0) is no question: it sends Ctrl-C.
    if sys.platform == "win32":
        return None
    try:
        folder = pair_folder(cache_home(cache_dir), name)
        record = load(folder)
        pair = pair_of(name, folder, record)
    except ConfigError:
        return None
    lives = (
        pid is not None and is_server(pid, folder / role)
        for role, pid in (("writer", pair.writer_pid), ("reader", pair.reader_pid))
    )
    return pair if record.wanted and any(lives) else None
