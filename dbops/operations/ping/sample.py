"""One connection, from the name to the first answer."""

from datetime import UTC, datetime
from time import perf_counter
from typing import NamedTuple

from dbops.endpoint import Address
from dbops.engine.connect import Connector, Dialled
from dbops.engine.dialling.certificate import expires
from dbops.operations.ping.answer import Latency, Tls
from dbops.operations.ping.question import Identity, identity

_DAY_S = 86400


class Sample(NamedTuple):
    """What one connection has shown."""

    address: Address
    """Which host answered."""
    identity: Identity
    """Who it is."""
    tls: Tls
    """How the connection was encrypted."""
    latency: Latency
    """Where its time went."""


async def sample(connector: Connector) -> Sample:
    """Connect, ask who is there, and hang up.

    Raises:
        DbopsError: As `Connector.dialled`.
    """
    started = perf_counter()
    async with connector.dialled() as dialled:
        asked = perf_counter()
        who = await identity(dialled)
        now = perf_counter()
        latency_ms = {
            **dialled.latency_ms,
            "query": (now - asked) * 1000,
            "total": (now - started) * 1000,
        }
        rounded = {name: round(ms, 3) for name, ms in latency_ms.items()}
        return Sample(dialled.address, who, _tls(dialled), Latency(**rounded))


def _tls(dialled: Dialled) -> Tls:
    tls = dialled.tls
    if tls is None:
        return Tls(in_use=False)
    cipher, end = tls.cipher(), expires(tls)
    left = None if end is None else (end - datetime.now(UTC)).total_seconds() / _DAY_S
    return Tls(
        in_use=True,
        version=tls.version(),
        cipher=cipher[0] if cipher else None,
        certificate_expires=end,
        certificate_days_left=None if left is None else round(left, 2),
    )
