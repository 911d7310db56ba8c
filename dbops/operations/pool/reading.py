"""What do the rows of PgBouncer's console say?

https://www.pgbouncer.org/usage.html#show-commands
"""

from collections.abc import Mapping
from typing import NamedTuple

from dbops.endpoint import Address
from dbops.engine.simple import Row
from dbops.limits import Limit
from dbops.operations.pool.pooler import PgBouncer, Pooled, Route
from dbops.results import worst
from dbops.units import duration_text

_CONSOLE = "pgbouncer"


class Answers(NamedTuple):
    """The rows of three questions, as the console wrote them."""

    pools: list[Row]
    databases: list[Row]
    config: list[Row]


def read(
    answers: Answers, where: Address, processes: int | None, limit: Limit
) -> PgBouncer:
    """Read a console's answers.

    Args:
        answers: Its rows; columns differ from version to version.
        where: Who has answered.
        processes: How many processes there are; None where nobody said.
        limit: In seconds, for the longest wait.
    """
    config = {row["key"]: row["value"] for row in answers.config}
    pools = [
        _pool(row, limit) for row in answers.pools if row.get("database") != _CONSOLE
    ]
    pools.sort(key=lambda it: -it.maxwait_s)
    own = "default_pool_size", "reserve_pool_size"
    return PgBouncer(
        status=worst(it.status for it in pools),
        summary=_summary(pools),
        host=where.host,
        port=where.port,
        processes=processes or 1,
        max_client_conn=_number(config, "max_client_conn"),
        max_user_connections=_number(config, "max_user_connections") or None,
        pools=tuple(pools),
        routes=tuple(
            _route(row, pools)
            for row in answers.databases
            if row.get("name") != _CONSOLE
        ),
        default_most=sum(_number(config, name) for name in own),
        notes=tuple(_notes(config, processes)),
    )


def _pool(row: Row, limit: Limit) -> Pooled:
    # maxwait holds whole seconds, maxwait_us what is left of the last one.
    maxwait_s = _number(row, "maxwait") + _number(row, "maxwait_us") / 1_000_000
    states = ("sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login")
    return Pooled(
        status=limit.graded(maxwait_s),
        database=row.get("database") or "?",
        user=row.get("user") or "?",
        pool_mode=row.get("pool_mode") or "?",
        clients_active=_number(row, "cl_active"),
        clients_waiting=_number(row, "cl_waiting"),
        maxwait_s=round(maxwait_s, 3),
        servers=sum(_number(row, name) for name in states),
    )


def _route(row: Row, pools: list[Pooled]) -> Route:
    name = row.get("name") or "?"
    size = _number(row, "pool_size")
    # Renamed in 1.24.
    reserve = _number(row, "reserve_pool") or _number(row, "reserve_pool_size")
    users = max(1, sum(it.database == name for it in pools))
    limit = _number(row, "max_connections") or None
    most = (size + reserve) * users
    return Route(
        name=name,
        host=row.get("host"),
        port=_number(row, "port"),
        pool_size=size,
        reserve=reserve,
        users=users,
        max_connections=limit,
        most=most if limit is None else min(most, limit),
    )


def _number(
    row: Mapping[str, str | None] | Mapping[str | None, str | None], name: str
) -> int:
    """Read a number; what this version does not have, or has no limit, is 0."""
    text = row.get(name) or ""
    return int(text) if text.isdecimal() else 0


def _summary(pools: list[Pooled]) -> str:
    waiting = sum(it.clients_waiting for it in pools)
    if not waiting:
        return "no client of PgBouncer waits for a connection"
    longest = pools[0]
    since = duration_text(longest.maxwait_s)
    return (
        f"clients of PgBouncer that wait for a connection: {waiting}, the first for "
        f"{since} ({longest.database}/{longest.user})"
    )


def _notes(config: Mapping[str | None, str | None], processes: int | None) -> list[str]:
    if config.get("so_reuseport") == "1" and processes is None:
        asked = "so_reuseport is on: there may be several processes, and one was asked"
        return [f"{asked}; say how many: --pgbouncer 2xURL"]
    return []
