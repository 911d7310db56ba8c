"""What is read from a server's answer, and how is it judged?"""

import json
import re
from typing import Any

from dbops.limits import Limit
from dbops.operations.watch.answer import (
    Connections,
    SampledServer,
    State,
    Transaction,
    Wait,
)
from dbops.operations.watch.server import Asked, Seen
from dbops.results import Problem, Status, worst

# Every literal of SQL begins with one of these; a parameter ($1) is none.
# https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-CONSTANTS
_LITERAL = re.compile(r"'|\$(?![0-9])|\bpassword\b", re.IGNORECASE)
_MOST = 160


def sampled(asked: Asked, limit: Limit) -> SampledServer:
    """Describe a server that was asked.

    Args:
        asked: The server.
        limit: From which percentage of connections on it is bad.
    """
    link, seen = asked.link, asked.seen
    if seen is not None:
        return _up(asked, seen, limit)
    is_late = link.error is None
    return SampledServer(
        role=asked.role,
        status=Status.UNKNOWN if is_late else Status.FAIL,
        state=State.LATE if is_late else State.AWAY,
        since=asked.begun if is_late else link.since,
        host=link.address.host if link.address else None,
        port=link.address.port if link.address else None,
        error=None if link.error is None else Problem.of(link.error),
    )


def _up(asked: Asked, seen: Seen, limit: Limit) -> SampledServer:
    row = seen.activity
    connections = Connections(
        in_use=row["in_use"],
        usable=row["usable"],
        by_state=_loaded(row["by_state"]) if row["see_everybody"] else None,
    )
    status, note = _role(asked, row)
    return SampledServer(
        role=asked.role,
        status=worst((status, limit.graded(_percent(connections)))),
        state=State.UP,
        host=asked.link.address.host if asked.link.address else None,
        port=asked.link.address.port if asked.link.address else None,
        server_version=asked.link.about["server_version"].split(" ")[0],
        is_in_recovery=row["is_in_recovery"],
        latency_ms=round(seen.latency_ms, 3),
        connections=connections,
        transactions=tuple(_transaction(it) for it in _loaded(row["transactions"])),
        waits=tuple(Wait(**it) for it in _loaded(row["waits"])),
        requires=None
        if row["see_everybody"]
        else f"GRANT pg_read_all_stats TO {row['user']}",
        note=note,
    )


def _role(asked: Asked, row: dict[str, Any]) -> tuple[Status, str | None]:
    if asked.role == "writer" and row["is_in_recovery"]:
        return Status.FAIL, "it is given as the writer and is a standby"
    if asked.role == "reader" and not row["is_in_recovery"]:
        return Status.WARN, "this reader is not a standby"
    return Status.OK, None


def _percent(connections: Connections) -> float:
    if connections.usable <= 0:
        return 100.0
    return 100.0 * connections.in_use / connections.usable


def _transaction(row: dict[str, Any]) -> Transaction:
    names = ("user", "database", "statement")
    decoded = {name: _decoded(row[name]) for name in names}
    return Transaction(**{**row, **decoded, "statement": _cut(decoded["statement"])})


def _decoded(text: str | None) -> str | None:
    return None if text is None else bytes.fromhex(text).decode(errors="replace")


def _cut(statement: str | None) -> str | None:
    """Keep what comes before the first literal: that may be a password."""
    if not statement:
        return None
    found = _LITERAL.search(statement)
    kept = " ".join((statement[: found.start()] if found else statement).split())
    is_whole = found is None and len(kept) <= _MOST
    return kept if is_whole else f"{kept[:_MOST]} …"


def _loaded(text: str | None) -> Any:  # noqa: ANN401 # what the query has built
    return json.loads(text) if text is not None else []
