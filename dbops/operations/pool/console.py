"""What does PgBouncer's admin console say?

https://www.pgbouncer.org/usage.html#admin-console
"""

from dbops.engine.connect import ConnectOptions
from dbops.engine.simple import simple_rows
from dbops.errors import DbopsError, RefusedError
from dbops.limits import Limit
from dbops.operations.pool.pgbouncer import Told, connector_to
from dbops.operations.pool.pooler import WAITING, Answers, PgBouncer, read

# What a PostgreSQL server says to SHOW POOLS, and to the name of the console.
_NO_CONSOLE = frozenset({"42704", "3D000"})


async def asked(
    told: Told, options: ConnectOptions, limit: Limit = WAITING
) -> PgBouncer:
    """Ask a console what it does and what it may do.

    Args:
        told: Where it is.
        options: How to connect.
        limit: In seconds, for the longest wait.

    Raises:
        DbopsError: As `Connector.__call__`; RefusedError where it is no PgBouncer.
    """
    assert told.console is not None  # whoever calls has looked  # noqa: S101
    try:
        async with connector_to(told.console, options).dialled() as dialled:
            answers = Answers(
                pools=await simple_rows(dialled, "SHOW POOLS"),
                databases=await simple_rows(dialled, "SHOW DATABASES"),
                config=await simple_rows(dialled, "SHOW CONFIG"),
            )
    except DbopsError as error:
        if error.sqlstate not in _NO_CONSOLE:
            raise
        where = ", ".join(str(it) for it in told.console.addresses)
        raise RefusedError(
            f"what answers at {where} is no admin console of PgBouncer",
            hint="give PgBouncer's own port, often 6432",
            phase=error.phase,
            sqlstate=error.sqlstate,
        ) from error
    return read(answers, dialled.address, told.processes, limit)
