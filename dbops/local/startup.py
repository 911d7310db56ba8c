"""How do a writer and its standby come up together?"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dbops.errors import FailedError
from dbops.local import configuration
from dbops.local.account import Programs
from dbops.local.cleanup import finish
from dbops.local.cluster import Cluster, configure, start
from dbops.local.processes import read_pid_file, server_pid
from dbops.local.session import session
from dbops.local.spawn import POLL_S
from dbops.local.state import Record, endpoint
from dbops.local.stopping import reload_configuration, stop_all

_STREAMING_S = 15.0
# A socket address has 108 bytes on Linux and 104 elsewhere, with a zero at its end.
_SOCKET_BYTES = 107 if sys.platform == "linux" else 103
_LONGEST_SOCKET = "/.s.PGSQL.65535"

_HAS_SLOT = "SELECT EXISTS (SELECT FROM pg_catalog.pg_replication_slots)"
_MAKE_SLOT = "SELECT pg_catalog.pg_create_physical_replication_slot($1)"
# The standby is of use when it receives, and knows the password that was set last.
_STREAMS = """
    SELECT NOT pg_catalog.pg_is_in_recovery() OR (
           pg_catalog.pg_last_wal_replay_lsn() >= $1::text::pg_catalog.pg_lsn
           AND EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver
                        WHERE status = 'streaming'))
        OR pg_catalog.current_setting('recovery_min_apply_delay') <> '0'
        OR pg_catalog.pg_is_wal_replay_paused()
"""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a pair lives, and how it is run."""

    folder: Path
    programs: Programs
    settings: Mapping[str, str]
    dies_with_us: bool
    has_standby: bool = True

    def cluster(self, role: str) -> Cluster:
        """Return one of the two servers."""
        return Cluster(self.programs, self.folder, role, self.dies_with_us)


async def start_pair(
    site: Site, record: Record, *, new_password: str | None = None
) -> Record:
    """Start what is not running, and wait until the standby follows.

    Args:
        site: Where the data folders are.
        record: The ports and the socket folder to use if that is possible.
        new_password: A password to give to the superuser first.

    Returns:
        `record` with what is true now.

    Raises:
        FailedError: If a server does not start. What this call has started is
            stopped then, and when the task is cancelled.
    """
    writer, reader = site.cluster("writer"), site.cluster("reader")
    idle = [one.data for one in (writer, reader) if server_pid(one.data) is None]
    before = record
    record = replace(record, sockets=str(_socket_folder(site, record)))
    try:
        record = await _start_writer(site, record)
        position = await _provision(record, new_password)
        if site.has_standby:
            record = await _start_reader(site, record)
            await _follows(site, record, position)
    except BaseException:
        await finish(stop_all(idle, is_quick=site.dies_with_us))
        if record.sockets != before.sockets:
            remove_sockets(site.folder, record)
        raise
    return replace(
        record,
        wanted=True,
        writer_pid=server_pid(writer.data),
        reader_pid=server_pid(reader.data),
    )


def socket_fits(folder: Path) -> bool:
    """Say whether the address of a socket in `folder` is short enough."""
    return len(os.fsencode(folder)) + len(_LONGEST_SOCKET) <= _SOCKET_BYTES


def remove_sockets(folder: Path, record: Record) -> None:
    """Remove a socket folder that lies outside the pair's folder."""
    sockets = Path(record.sockets)
    if record.sockets and not sockets.is_relative_to(folder):
        shutil.rmtree(sockets, ignore_errors=True)


def _socket_folder(site: Site, record: Record) -> Path:
    """Return a folder for sockets that is closed to others, and make it if need be."""
    if record.sockets and Path(record.sockets).is_dir():
        return Path(record.sockets)
    account = site.programs.account
    folder = site.folder / "sockets"
    if socket_fits(folder):
        return folder if folder.is_dir() else account.make_private_folder(folder)
    short = tempfile.mkdtemp(prefix="dbops-", dir="/tmp")  # 0700, and short
    return account.give(Path(short))


async def _start_writer(site: Site, record: Record) -> Record:
    cluster, sockets = site.cluster("writer"), Path(record.sockets)

    def text(port: int) -> str:
        return configuration.writer_text(cluster.data, sockets, port, site.settings)

    running = _running_port(cluster)
    port = running or await start(cluster, sockets, record.writer_port, text)
    return replace(record, writer_port=port)


async def _start_reader(site: Site, record: Record) -> Record:
    cluster, sockets = site.cluster("reader"), Path(record.sockets)
    writer_port = record.writer_port or 0

    def text(port: int) -> str:
        return configuration.reader_text(
            cluster.data, sockets, port, site.settings, writer_port
        )

    port = _running_port(cluster)
    if port is None:
        port = await start(cluster, sockets, record.reader_port, text)
    else:
        # The writer may have come back on another port.
        configure(cluster, text(port))
        reload_configuration(cluster.data)
    return replace(record, reader_port=port)


def _running_port(cluster: Cluster) -> int | None:
    file = read_pid_file(cluster.data) if server_pid(cluster.data) else None
    return file.port if file is not None else None


async def _provision(record: Record, new_password: str | None) -> str:
    """Give the writer its slot and password; return its position in the WAL."""
    async with session(endpoint(record.sockets, record.writer_port, None)) as writer:
        if new_password is not None:
            # The letters of token_urlsafe need no quoting.
            await writer.execute(f"ALTER ROLE CURRENT_USER PASSWORD '{new_password}'")
        if not await writer.fetchval(_HAS_SLOT):
            await writer.fetchval(_MAKE_SLOT, configuration.SLOT)
        return str(
            await writer.fetchval("SELECT pg_catalog.pg_current_wal_flush_lsn()::text")
        )


async def _follows(site: Site, record: Record, position: str) -> None:
    deadline = time.monotonic() + _STREAMING_S
    async with session(endpoint(record.sockets, record.reader_port, None)) as reader:
        while not await reader.fetchval(_STREAMS, position):
            if time.monotonic() > deadline:
                raise FailedError(
                    "the standby does not follow its writer",
                    hint=f"its log is {site.cluster('reader').log}; "
                    "make the pair anew with: dbops local reset",
                    phase="local",
                )
            await asyncio.sleep(POLL_S)
