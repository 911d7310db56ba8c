"""Does the server answer, does the database exist, does it take writes?"""

from dbops.engine.connect import Connector, Dialled
from dbops.errors import RefusedError, UsageError
from dbops.operations.wait.attempts import OnFailure, Waited, until
from dbops.settings.model import WaitFor

# https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-USERS
CAN_WRITE = """
    SELECT pg_catalog.pg_is_in_recovery() AS is_in_recovery,
           pg_catalog.current_setting('transaction_read_only') = 'on' AS is_read_only
"""


async def wait(
    connector: Connector,
    what: WaitFor,
    *,
    limit_s: float,
    on_failure: OnFailure | None = None,
) -> Waited:
    """Try to connect until it works, with pauses that grow and are jittered.

    Args:
        connector: Where to.
        what: `server` is content when the server answers that the database is missing;
            `database` wants to be connected to it; `writable` wants a primary, and no
            default_transaction_read_only.
        limit_s: How long to try, in seconds.
        on_failure: Called with each failure on the way.

    Raises:
        UnreachableError: If it does not work in time; it names the last failure.
        RefusedError: If in the end the database is still missing, or is not writable.
        DbopsError: If waiting cannot help: wrong password, malformed settings, …
    """
    if what not in ("server", "database", "writable"):
        raise UsageError(f"{what} takes more than one endpoint to wait for")

    async def attempt() -> None:
        try:
            async with connector.dialled() as dialled:
                if what == "writable":
                    await _check_writable(dialled)
        except RefusedError as error:
            if what == "server" and error.sqlstate == "3D000":
                return
            # No host has the role that the URL asks for: not yet.
            is_role = error.phase == "connect" and error.sqlstate is None
            error.retryable = error.retryable or (what == "writable" and is_role)
            raise

    return await until(what, attempt, limit_s=limit_s, on_failure=on_failure)


async def _check_writable(dialled: Dialled) -> None:
    row = await dialled.connection.fetchrow(CAN_WRITE)
    assert row is not None  # the query has no FROM  # noqa: S101
    if row["is_in_recovery"]:
        raise RefusedError(
            f"{dialled.address} is a standby",
            hint="promote it, or point DATABASE_URL at the primary",
            phase="query",
            retryable=True,
        )
    if row["is_read_only"]:
        raise RefusedError(
            f"{dialled.address} is read-only: default_transaction_read_only is on",
            hint="turn it off for the server, the database or the role",
            phase="query",
            retryable=True,
        )
