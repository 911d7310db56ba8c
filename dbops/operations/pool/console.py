"""Whom to ask at PgBouncer's admin console, and how?

https://www.pgbouncer.org/usage.html#admin-console
"""

import asyncio
from dataclasses import replace

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connector, Connectors
from dbops.engine.simple import simple_rows
from dbops.errors import DbopsError, RefusedError, UnreachableError
from dbops.limits import Limit
from dbops.operations.pool.pgbouncer import told
from dbops.operations.pool.pooler import WAITING, PgBouncer
from dbops.operations.pool.reading import Answers, read
from dbops.settings import Settings

# What a PostgreSQL server says to SHOW POOLS, and to the name of the console.
_NO_CONSOLE = frozenset({"42704", "3D000"})
# Of the overall time-out: the servers are asked before it, or beside it.
_SHARE = 0.4


async def console(settings: Settings, *, limit: Limit = WAITING) -> PgBouncer | None:
    """Ask PgBouncer's console what it does and what it may do.

    Args:
        settings: What the user said about it.
        limit: In seconds, for the longest wait.

    Returns:
        Its answer; None where nothing says that there is a console.

    Raises:
        UsageError: As `told`.
        ConfigError: As `told`.
        DbopsError: As `Connector.__call__`; RefusedError where it is no PgBouncer.
    """
    said = told(settings)
    if said is None or said.console is None:
        return None
    where = ", ".join(str(it) for it in said.console.addresses)
    limit_s = settings.timeout and settings.timeout * _SHARE
    try:
        async with (
            asyncio.timeout(limit_s),
            _to(said.console, settings).dialled() as it,
        ):
            answers = Answers(
                pools=await simple_rows(it, "SHOW POOLS"),
                databases=await simple_rows(it, "SHOW DATABASES"),
                config=await simple_rows(it, "SHOW CONFIG"),
            )
    except TimeoutError:
        raise UnreachableError(
            f"PgBouncer's console at {where} gave no answer within {limit_s:.2g} s",
            hint="give it longer with --timeout",
            phase="query",
        ) from None
    except DbopsError as error:
        refused = _refused(error, said.console, where)
        if refused is None:
            raise
        raise refused from error
    return read(answers, it.address, said.processes, limit)


def _to(endpoint: Endpoint, settings: Settings) -> Connector:
    """Return how to reach the console, which refuses the settings of a session."""
    connector = Connectors(settings).connector_to(endpoint)
    connector.options = replace(connector.options, server_settings={})
    return connector


def _refused(error: DbopsError, console: Endpoint, where: str) -> RefusedError | None:
    """Say what only this question makes of an answer; None where it is any other."""
    if error.sqlstate in _NO_CONSOLE:
        message = f"what answers at {where} is no admin console of PgBouncer"
        hint = "give PgBouncer's own port, often 6432"
    # PgBouncer has one SQLSTATE for all that it refuses.
    elif error.sqlstate == "08P01" and error.message.endswith(": not allowed"):
        message = f"PgBouncer at {where} does not let {console.user!r} ask its console"
        hint = "add the user to stats_users in pgbouncer.ini"
    else:
        return None
    return RefusedError(message, hint=hint, phase=error.phase, sqlstate=error.sqlstate)
