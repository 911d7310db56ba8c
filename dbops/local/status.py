"""Do both servers of the local pair run, and does the standby follow?"""

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from dbops.endpoint import Endpoint
from dbops.errors import DbopsError
from dbops.local.folders import cache_home, pair_folder
from dbops.local.processes import read_pid_file, server_pid
from dbops.local.session import session
from dbops.local.state import HOST, Pair, Record, load, pair_of
from dbops.results import Model, Result, Status

_POSITION = """
    SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery()
                THEN pg_catalog.pg_current_wal_flush_lsn()::text END
"""
# Functions that answer only in recovery stand behind the CASE.
_FACTS = """
    SELECT recovering AS is_in_recovery,
           CASE WHEN recovering THEN pg_catalog.pg_is_wal_replay_paused()
                END AS is_replay_paused,
           CASE WHEN recovering THEN (
                SELECT setting::float8 / 1000 FROM pg_catalog.pg_settings
                 WHERE name = 'recovery_min_apply_delay')
                END AS apply_delay_s,
           CASE WHEN recovering THEN
                -- greatest() would take null for nothing, and zero for the lag.
                (SELECT CASE WHEN bytes > 0 THEN bytes WHEN bytes <= 0 THEN 0 END
                   FROM pg_catalog.pg_wal_lsn_diff($1::text::pg_catalog.pg_lsn,
                        pg_catalog.pg_last_wal_replay_lsn()) AS bytes)::int8
                END AS lag_bytes
      FROM pg_catalog.pg_is_in_recovery() AS recovering
"""


class LocalServer(Model):
    """One of the two servers."""

    state: Literal["running", "stopped"]
    """Whether its process lives."""

    host: str
    """The address it listens on."""

    port: int | None = None
    """Its TCP port, when stopped the last one; null when it never ran."""

    pid: int | None = None
    """Its process id; null when it is stopped."""

    is_in_recovery: bool | None = None
    """Whether it is a standby; null when it did not answer."""

    is_replay_paused: bool | None = None
    """Whether it holds back what it receives; null when it is no standby."""

    apply_delay_s: float | None = None
    """By how many seconds it is told to lag; null when it is no standby."""

    lag_bytes: int | None = None
    """WAL of the writer that it has not replayed yet; null when that is unknown."""


class LocalPair(Result):
    """The embedded writer and its standby."""

    name: str
    """The pair's name."""

    state: Literal["running", "stopped", "partial"]
    """Whether both servers run, none does, or one."""

    server_version: str | None
    """PostgreSQL's version, such as `18.6`; null when the pair was never made."""

    binaries: str | None
    """Where the server programs come from; null when the pair was never made."""

    folder: str
    """Where the pair keeps its data, its logs and its password."""

    writer: LocalServer
    """The server that takes writes."""

    reader: LocalServer
    """The standby, until it is promoted."""


async def status(*, name: str = "default", cache_dir: Path | None = None) -> LocalPair:
    """Say how the pair is; one that was never made is stopped.

    Raises:
        UsageError: If the name is not one for a pair.
        ConfigError: If the pair's files cannot be read.
    """
    folder = pair_folder(cache_home(cache_dir), name)
    if sys.platform == "win32" or not folder.exists():
        return _described(name, folder, Record())
    record = found(folder, load(folder))
    pair = pair_of(name, folder, record)
    position = await _position(pair) if record.writer_pid else None
    return _described(
        name,
        folder,
        record,
        writer=await _facts(pair.writer, None) if record.writer_pid else {},
        reader=await _facts(pair.reader, position) if record.reader_pid else {},
    )


def found(folder: Path, record: Record) -> Record:
    """Return `record` with the processes and the ports that are there now."""
    writer_pid, writer_port = _process(folder / "writer")
    reader_pid, reader_port = _process(folder / "reader")
    return replace(
        record,
        writer_pid=writer_pid,
        reader_pid=reader_pid,
        writer_port=writer_port or record.writer_port,
        reader_port=reader_port or record.reader_port,
    )


def _process(data: Path) -> tuple[int | None, int | None]:
    pid = server_pid(data)
    file = read_pid_file(data) if pid is not None else None
    return pid, file.port if file is not None else None


async def _position(pair: Pair) -> str | None:
    """Ask the writer how far its WAL is safe; None when it does not say."""
    with suppress(DbopsError):
        async with session(pair.writer) as connection:
            position: str | None = await connection.fetchval(_POSITION)
            return position
    return None


async def _facts(endpoint: Endpoint, position: str | None) -> dict[str, Any]:
    """Ask one server about itself; nothing when it does not answer."""
    with suppress(DbopsError):
        async with session(endpoint) as connection:
            return dict(await connection.fetchrow(_FACTS, position) or {})
    return {}


def _described(
    name: str,
    folder: Path,
    record: Record,
    *,
    writer: Mapping[str, Any] | None = None,
    reader: Mapping[str, Any] | None = None,
) -> LocalPair:
    alive = (record.writer_pid is not None) + (record.reader_pid is not None)
    as_wanted = alive == (2 if record.wanted else 0)
    answered = all(facts != {} for facts in (writer, reader)) or not alive
    return LocalPair(
        status=Status.OK if as_wanted and answered else Status.FAIL,
        name=name,
        state=("stopped", "partial", "running")[alive],
        server_version=record.server_version or None,
        binaries=record.binaries or None,
        folder=str(folder),
        writer=_server(record.writer_pid, record.writer_port, writer or {}),
        reader=_server(record.reader_pid, record.reader_port, reader or {}),
    )


def _server(pid: int | None, port: int | None, facts: Mapping[str, Any]) -> LocalServer:
    return LocalServer(
        state="stopped" if pid is None else "running",
        host=HOST,
        port=port,
        pid=pid,
        **facts,
    )
