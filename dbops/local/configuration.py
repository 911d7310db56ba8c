"""What do the configuration files of the two servers say?

They lie outside the data folders, which belong to the account of the servers, and
include the file that initdb wrote.
"""

from collections.abc import Mapping
from pathlib import Path

from dbops.local.state import HOST, USER

# A standby refuses to start below what its writer had, or initdb left in pg_control.
# https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN
_STANDBY_FLOOR = {
    "max_connections": 100,
    "max_locks_per_transaction": 64,
    "max_prepared_transactions": 0,
    "max_wal_senders": 10,
    "max_worker_processes": 8,
}
_BOTH = {
    "listen_addresses": HOST,
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "client_connection_check_interval": "1s",
    "shared_buffers": "32MB",
    "jit": "off",
    "wal_level": "replica",
    "hot_standby": "on",
    "hot_standby_feedback": "on",
    "track_commit_timestamp": "on",
    "wal_init_zero": "off",
    "wal_keep_size": "64MB",
    # A paused standby must not fill the disk with the writer's WAL.
    "max_slot_wal_keep_size": "512MB",
    # The default lets a standby wait 5 s before it looks for its writer again.
    "wal_retrieve_retry_interval": "100ms",
    "shared_preload_libraries": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "logging_collector": "off",
}

DURABLE: Mapping[str, str] = {"fsync": "on"}
# full_page_writes stays on, because pg_basebackup and pg_rewind need it; and
# synchronous_commit too, because a standby is only sent what was flushed.
THROWAWAY: Mapping[str, str] = {
    "fsync": "off",
    "min_wal_size": "48MB",
    "max_wal_size": "128MB",
    "max_slot_wal_keep_size": "128MB",
}
SLOT = "reader"


def writer_text(data: Path, sockets: Path, port: int, extra: Mapping[str, str]) -> str:
    """Write the writer's configuration file."""
    return _text(data, "writer", sockets, port, extra)


def reader_text(
    data: Path, sockets: Path, port: int, extra: Mapping[str, str], writer_port: int
) -> str:
    """Write the standby's configuration file."""
    return _text(
        data,
        "reader",
        sockets,
        port,
        {
            **extra,
            **_floored(extra),
            "primary_conninfo": f"host={_quoted(str(sockets))} port={writer_port} "
            f"user={USER} application_name=reader sslmode=disable gssencmode=disable",
            "primary_slot_name": SLOT,
        },
    )


def _text(
    data: Path, role: str, sockets: Path, port: int, extra: Mapping[str, str]
) -> str:
    values = {
        **_BOTH,
        "cluster_name": f"dbops_{role}",
        # A list of folders, in which a name with a comma stands in double quotes.
        "unix_socket_directories": f'"{sockets}"',
        **extra,
        "port": str(port),
    }
    lines = [f"include {_quoted(str(data / 'postgresql.conf'))}"]
    lines += [f"{name} = {_quoted(value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def _floored(extra: Mapping[str, str]) -> dict[str, str]:
    return {
        name: str(max(int(extra[name]), floor))
        for name, floor in _STANDBY_FLOOR.items()
        if extra.get(name, "").isdigit()
    }


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
