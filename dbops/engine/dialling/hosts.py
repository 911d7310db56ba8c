"""Which of several hosts is the one that was asked for?

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS
"""

import asyncio
from collections.abc import Sequence
from enum import Enum, auto

from dbops.endpoint import Role, SessionAttrs
from dbops.engine.dialling.driver import Connection, close
from dbops.engine.faults.translate import TRY_NEXT_HOST
from dbops.errors import ConfigError, DbopsError, RefusedError

# Servers from 14 on report both without a question; a pooler does not.
_ROLE = """
    SELECT pg_catalog.pg_is_in_recovery(),
           pg_catalog.current_setting('transaction_read_only') = 'on'
"""


class Verdict(Enum):
    """Whether a connection can be used."""

    FITS = auto()
    OTHER_ROLE = auto()
    POOLED = auto()
    """A pooler stands between, although none may."""


async def judged(
    connection: Connection,
    wanted: SessionAttrs,
    *,
    deadline: float,
    may_be_pooled: bool,
) -> Verdict:
    """Tell whether a connection can be used; close it if not.

    Args:
        connection: A new connection.
        wanted: What target_session_attrs asks for.
        deadline: Until when the server has to answer, by the loop's clock.
        may_be_pooled: Whether a pooler does no harm.

    Raises:
        Exception: Whatever the driver raises, untranslated.
    """
    verdict = Verdict.OTHER_ROLE
    try:
        async with asyncio.timeout_at(deadline):
            if await _fits(connection, wanted):
                is_pooled = not may_be_pooled and await _is_pooled(connection)
                verdict = Verdict.POOLED if is_pooled else Verdict.FITS
    finally:
        if verdict is not Verdict.FITS:
            await close(connection)
    return verdict


async def _is_pooled(connection: Connection) -> bool:
    """Tell whether the server's process has another number than we were told.

    A pooler hands out its own, because it answers requests to cancel.
    """
    pid = await connection.fetchval("SELECT pg_catalog.pg_backend_pid()")
    return bool(pid != connection.get_server_pid())


async def _fits(connection: Connection, wanted: SessionAttrs) -> bool:
    if wanted == "any":
        return True
    row = await connection.fetchrow(_ROLE)
    assert row is not None  # the query has no FROM  # noqa: S101
    standby, read_only = row
    match wanted:
        case "primary":
            return not standby
        case "standby" | "prefer-standby":
            return bool(standby)
        case "read-write":
            return not standby and not read_only
        case _:
            return bool(standby or read_only)


def may_try_next(error: DbopsError) -> bool:
    """Tell whether the next host may do better: not once a server has said no."""
    if isinstance(error, ConfigError):
        return False
    return error.sqlstate is None or error.sqlstate in TRY_NEXT_HOST


def nowhere(
    role: Role, wanted: SessionAttrs, failures: Sequence[DbopsError]
) -> DbopsError:
    """Return the error for hosts of which none could be used.

    As long as one of them did not answer, nobody knows that none has the role.

    Args:
        role: Whose hosts they are.
        wanted: What was asked for.
        failures: Why hosts could not be connected to; none where all have answered.
    """
    if not failures:
        return RefusedError(
            f"no host of the {role} is {wanted}",
            hint="check target_session_attrs, and which host is the primary",
            phase="connect",
        )
    last = failures[-1]
    if len(failures) == 1:
        return last
    return type(last)(
        "; ".join(failure.message for failure in failures),
        hint=last.hint,
        phase=last.phase,
        sqlstate=last.sqlstate,
        retryable=any(failure.retryable for failure in failures),
    )
