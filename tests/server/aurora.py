"""A database that answers as Aurora does, on an ordinary writer and standby.

The functions have the documented shape, and say what the table `instances` holds.
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora_replica_status.html
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from dbops.endpoint import Endpoint
from dbops.local.state import Pair
from tests.server.standbys import ask, on, until

# What Aurora refuses, each with an error in the customer's log.
REFUSED = (
    "pg_last_wal",
    "pg_last_xact_replay",
    "pg_stat_wal_receiver",
    "pg_control_",
    "pg_current_wal",
    "pg_get_wal_replay_pause_state",
    "pg_walfile_name",
    "pg_logical_emit_message",
)
_STAND_INS = """
    CREATE TABLE public.instances (
        server_id text, session_id text, lag_ms float8, age interval);
    INSERT INTO public.instances VALUES
        ('db-1', 'MASTER_SESSION_ID', NULL, '0.2 s'),
        ('db-2', 'ee64f3b2-6fb7-4f3a-8d0c-5f6a9b1c2d3e', 21, '0.2 s'),
        ('db-3', '0f0f0f0f-6fb7-4f3a-8d0c-5f6a9b1c2d3e', 18, '0.4 s');
    CREATE FUNCTION public.aurora_version() RETURNS text RETURN '17.4.1';
    CREATE FUNCTION public.aurora_db_instance_identifier() RETURNS text
        RETURN CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'db-2' ELSE 'db-1' END;
    CREATE FUNCTION public.aurora_replica_status(
        OUT server_id text, OUT session_id text, OUT durable_lsn bigint,
        OUT highest_lsn_rcvd bigint, OUT current_read_lsn bigint,
        OUT cur_replay_latency_in_usec bigint, OUT active_txns bigint,
        OUT is_current boolean, OUT last_transport_error integer,
        OUT last_error_timestamp timestamptz, OUT last_update_timestamp timestamptz,
        OUT feedback_xmin xid, OUT feedback_epoch bigint,
        OUT replica_lag_in_msec double precision,
        OUT log_stream_speed_in_kib_per_second double precision,
        OUT log_buffer_sequence_number bigint, OUT oldest_read_view_trx_id bigint,
        OUT oldest_read_view_lsn bigint, OUT pending_read_ios integer,
        OUT read_ios integer, OUT iops integer, OUT cpu double precision)
    RETURNS SETOF record LANGUAGE sql BEGIN ATOMIC
        SELECT i.server_id, i.session_id, 1::bigint, 1::bigint, 1::bigint, 1::bigint,
               0::bigint, true, 0, NULL::timestamptz,
               CASE WHEN i.server_id <> public.aurora_db_instance_identifier()
                    THEN pg_catalog.clock_timestamp() - i.age END,
               NULL::xid, 0::bigint, i.lag_ms, 0::float8, 0::bigint, 0::bigint,
               0::bigint, 0, 0, 0, 0::float8
          FROM public.instances AS i;
    END
"""


@asynccontextmanager
async def aurora(pair: Pair) -> AsyncGenerator[tuple[Endpoint, Endpoint]]:
    """Make the database for the block: on the writer `db-1`, on the standby `db-2`."""
    async with on(pair.writer) as admin:
        await admin.execute("CREATE DATABASE aurora TEMPLATE template0")
        await admin.execute("ALTER DATABASE aurora SET log_statement = 'all'")
    places = pair.writer.with_database("aurora"), pair.reader.with_database("aurora")
    async with on(places[0]) as writer:
        await writer.execute(_STAND_INS)
    await followed(pair)
    try:
        yield places
    finally:
        await ask(pair.writer, "DROP DATABASE aurora WITH (FORCE)")


async def followed(pair: Pair) -> None:
    """Wait until the standby has what the writer has."""
    position = await ask(pair.writer, "SELECT pg_current_wal_insert_lsn()::text")
    await until(pair.reader, f"SELECT pg_last_wal_replay_lsn() >= '{position}'")


def logged(pair: Pair) -> str:
    """Return the statements that both servers have logged."""
    logs = (pair.folder / f"{role}.log" for role in ("writer", "reader"))
    return "".join(log.read_text() for log in logs)
