"""Who is this server? Asked in one round trip."""

from typing import NamedTuple

from dbops.engine.aurora import AURORA
from dbops.engine.connect import Dialled
from dbops.engine.faults.translate import translated
from dbops.engine.round_trip import round_trip
from dbops.errors import DbopsError

# Qualified, operators included: a hostile search_path may hold namesakes.
# https://www.postgresql.org/docs/current/functions-info.html
_WHO = """
    SELECT pg_catalog.pg_is_in_recovery(),
           pg_catalog.current_setting('transaction_read_only'),
           pg_catalog.current_setting('server_version'),
           extract(epoch FROM pg_catalog.pg_postmaster_start_time()),
           pg_catalog.current_setting('port')
"""
_AND_ITS_CLUSTER = f"""
    {_WHO}, is_aurora, CASE WHEN NOT is_aurora THEN
        (SELECT system_identifier FROM pg_catalog.pg_control_system()) END
      FROM (SELECT {AURORA}) AS told(is_aurora)
"""  # noqa: S608 # constants
# https://www.postgresql.org/docs/current/view-pg-settings.html
_WHOSE_READ_ONLY = """
    SELECT source FROM pg_catalog.pg_settings
     WHERE name OPERATOR(pg_catalog.=) 'default_transaction_read_only'
"""
# Not allowed, not there, not supported: the function, and nothing else in the question.
_HIDDEN = ("42501", "42883", "0A000")


class Identity(NamedTuple):
    """What a server says about itself."""

    is_in_recovery: bool
    is_read_only: bool
    server_version: str
    """Such as `18.6`."""
    instance: tuple[str | None, str | None]
    """When it started, and its port: two servers have not both in common."""
    is_aurora: bool
    system_identifier: str | None
    """Which cluster; None on Aurora, and where the role may not know it."""
    read_only_from: str | None = None
    """Who made a primary's transactions read-only, as pg_settings.source has it."""


async def identity(dialled: Dialled) -> Identity:
    """Ask who a server is.

    Raises:
        DbopsError: The translation of whatever the driver raises.
    """
    try:
        with translated(dialled.endpoint):
            row = (await round_trip(dialled, _AND_ITS_CLUSTER)).columns
    except DbopsError as error:
        if error.sqlstate not in _HIDDEN:
            raise
        row = [*(await round_trip(dialled, _WHO)).columns, "f", None]
    standby, read_only, version, started, port, aurora, cluster = row
    is_standby, is_read_only = standby == "t", read_only == "on"
    source = None
    if is_read_only and not is_standby:
        (source,) = (await round_trip(dialled, _WHOSE_READ_ONLY)).columns
    return Identity(
        is_standby,
        is_read_only,
        (version or "").split(" ")[0],
        (started, port),
        aurora == "t",
        cluster,
        source,
    )
