"""Which standbys receive from a server, and which of them is one that we know?"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from typing_extensions import override

# A logical subscriber is no standby, and what only collects WAL replays none. Without
# pg_read_all_stats, all but the pid is hidden.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW
STANDBYS = """
    SELECT r.pid, r.application_name AS name, pg_catalog.host(r.client_addr) AS address,
           r.state, s.slot_name::text AS slot_name,
           pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_flush_lsn(),
                                      r.replay_lsn)::bigint AS bytes_behind
      FROM pg_catalog.pg_stat_replication r
      LEFT JOIN pg_catalog.pg_replication_slots s ON s.active_pid = r.pid
     WHERE s.slot_type IS DISTINCT FROM 'logical'
       AND (r.replay_lsn IS NOT NULL OR r.state IN ('startup', 'catchup', 'backup'))
       AND NOT pg_catalog.pg_is_in_recovery()
     ORDER BY r.application_name, r.pid
"""


class Standby(NamedTuple):
    """A standby, as the server that it receives from sees it."""

    pid: int
    """Of the walsender there."""
    name: str
    """Its application_name."""
    address: str | None
    """From where it has connected; None for a socket."""
    state: str
    """Such as `streaming`."""
    slot_name: str | None
    """The slot that keeps WAL for it."""
    bytes_behind: int | None
    """WAL that it has not replayed, as far as it has told."""

    @override
    def __str__(self) -> str:
        """Name it for a person."""
        return f"{self.name} at {self.address}" if self.address else self.name


def matching(standbys: Sequence[Standby], state: dict[str, Any]) -> tuple[Standby, ...]:
    """Return those that a reader can be, by its row of ON_READER.

    A slot tells them apart for certain; a name and an address as far as they are not
    shared or translated on the way.
    """
    if state["slot_name"] is not None:
        found = [it for it in standbys if it.slot_name == state["slot_name"]]
        if found:
            return tuple(found)
    named = [it for it in standbys if it.name == state["receiver_name"]]
    placed = [it for it in named if it.address and it.address == state["address"]]
    return tuple(placed or named)
