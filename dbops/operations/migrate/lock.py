"""One migrator at a time: an advisory lock in the session that runs the DDL.

In that session, so that whoever takes it over after a kill knows that the dead one's
statement has ended too; polled outside of transactions, so that a waiter never stands
in the way of CREATE INDEX CONCURRENTLY.
"""

import asyncio
import random
from time import monotonic

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from dbops.errors import LockedError

# https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
# An advisory lock belongs to one database, so the key need not name it.
KEY = "pg_catalog.hashtextextended('dbops:migrate', 0)"

# Milliseconds after which a server notices that a killed migrator is gone, instead of
# finishing its statement; from 14 on.
# https://www.postgresql.org/docs/current/runtime-config-connection.html
NOTICE_DEATH = "client_connection_check_interval=500"

TRY = text(f"SELECT pg_catalog.pg_try_advisory_lock({KEY})")
HOLDER = text(f"""
    SELECT a.pid, a.application_name, a.client_addr::text AS client_addr, a.state,
           a.state_change::timestamptz(0)::text AS since
      FROM pg_catalog.pg_locks l
      JOIN pg_catalog.pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
       AND l.database = (SELECT oid FROM pg_catalog.pg_database
                          WHERE datname = pg_catalog.current_database())
       AND (l.classid::int8 << 32) | l.objid::int8 = {KEY}
""")  # noqa: S608 # KEY is a constant


async def take_lock(connection: AsyncConnection, *, limit_s: float) -> float:
    """Wait for the lock and return how long that took, in seconds.

    It is given back when the connection is closed.

    Raises:
        LockedError: If another migrator still has it after `limit_s`; it is named.
    """
    started = monotonic()
    while True:
        taken = await connection.scalar(TRY)
        await connection.commit()
        if taken:
            return monotonic() - started
        if monotonic() - started >= limit_s:
            raise await _locked(connection, limit_s)
        await asyncio.sleep(random.uniform(0.1, 0.2))  # noqa: S311 # spreads waiters


async def _locked(connection: AsyncConnection, limit_s: float) -> LockedError:
    row = (await connection.execute(HOLDER)).mappings().first()
    await connection.rollback()
    who = "somebody who has just ended"
    if row is not None:
        who = (
            f"pid {row['pid']} ({row['application_name'] or 'no name'} from "
            f"{row['client_addr'] or 'a local socket'}, "
            f"{row['state'] or 'state hidden'} since {row['since'] or 'unknown'})"
        )
    return LockedError(
        f"another migration is running: the lock was not free within {limit_s:g} s; "
        f"it is held by {who}",
        hint="wait for it, or raise --lock-timeout",
        phase="lock",
    )
