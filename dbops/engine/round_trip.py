"""What does a question cost: there and back, and nothing else?"""

from time import perf_counter, time
from typing import NamedTuple

from dbops.engine.dialling.connector import Dialled

_NULL = r"\N"


class RoundTrip(NamedTuple):
    """One question and its answer, as seen from here."""

    columns: list[str | None]
    """The only row, as the server writes it; None for NULL."""
    asked_at: float
    """When the question left, in seconds since 1970 by our clock."""
    took_s: float
    """How long it took until the answer was here."""


async def round_trip(dialled: Dialled, query: str) -> RoundTrip:
    """Ask what has exactly one row of plain columns.

    COPY is one message there and one back. It needs no prepared statement, which a
    transaction pooler would look for on another connection.

    Raises:
        Exception: Whatever the driver raises, untranslated.
    """
    parts: list[bytes] = []

    async def take(part: bytes) -> None:
        parts.append(part)

    asked_at, started = time(), perf_counter()
    await dialled.connection.copy_from_query(query, output=take)
    took_s = perf_counter() - started
    columns = b"".join(parts).decode().rstrip("\n").split("\t")
    return RoundTrip([None if it == _NULL else it for it in columns], asked_at, took_s)
