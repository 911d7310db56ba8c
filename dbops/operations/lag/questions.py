"""What the writer and the reader are asked."""

# One statement, so that identity, position and clock belong together.
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-BACKUP
ON_WRITER = """
    SELECT pg_catalog.pg_is_in_recovery() AS is_in_recovery,
           (SELECT system_identifier::text FROM pg_catalog.pg_control_system())
             AS system_identifier,
           CASE WHEN NOT pg_catalog.pg_is_in_recovery()
                THEN pg_catalog.pg_current_wal_flush_lsn()::text END AS token,
           CASE WHEN NOT pg_catalog.pg_is_in_recovery()
                THEN ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(
                        pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int
           END AS timeline,
           pg_catalog.pg_postmaster_start_time() AS started,
           pg_catalog.current_setting('port') AS port,
           pg_catalog.clock_timestamp() AS clock
"""
# Replay before receive, or the difference can be negative; and receive may stand before
# replay after a restart, hence GREATEST. A row of pg_stat_wal_receiver with a pid and
# no status means that pg_read_all_stats is missing.
ON_READER = """
    WITH replayed AS MATERIALIZED (
        SELECT pg_catalog.pg_is_in_recovery() AS is_in_recovery,
               pg_catalog.pg_last_wal_replay_lsn() AS lsn,
               pg_catalog.pg_last_xact_replay_timestamp() AS commit_clock)
    SELECT s.is_in_recovery,
           s.lsn::text AS replayed,
           s.commit_clock,
           CASE WHEN s.is_in_recovery
                THEN GREATEST(pg_catalog.pg_last_wal_receive_lsn(), s.lsn)::text
           END AS received,
           CASE WHEN s.is_in_recovery
                THEN pg_catalog.pg_get_wal_replay_pause_state() END AS pause_state,
           (SELECT setting::float8 / 1000 FROM pg_catalog.pg_settings
             WHERE name = 'recovery_min_apply_delay') AS apply_delay_s,
           (SELECT setting::float8 / 1000 FROM pg_catalog.pg_settings
             WHERE name = 'wal_receiver_timeout') AS receiver_timeout_s,
           (SELECT system_identifier::text FROM pg_catalog.pg_control_system())
             AS system_identifier,
           pg_catalog.quote_ident(current_user) AS role,
           pg_catalog.pg_postmaster_start_time() AS started,
           pg_catalog.current_setting('port') AS port,
           r.pid AS receiver_pid,
           r.status AS receiver_status,
           r.received_tli AS timeline,
           extract(epoch FROM pg_catalog.clock_timestamp() - r.last_msg_receipt_time)
             ::float8 AS silent_s,
           (SELECT count(*)::int FROM pg_catalog.pg_stat_activity a
             WHERE a.wait_event LIKE 'RecoveryConflict%') AS conflicts
      FROM replayed s LEFT JOIN pg_catalog.pg_stat_wal_receiver r ON true
"""
REPLAYED = """
    SELECT pg_catalog.pg_last_wal_replay_lsn() >= $1::text::pg_catalog.pg_lsn
"""
BEHIND = """
    SELECT pg_catalog.pg_wal_lsn_diff(
               $1::text::pg_catalog.pg_lsn,
               pg_catalog.pg_last_wal_replay_lsn())::bigint AS unreplayed,
           pg_catalog.pg_wal_lsn_diff(
               $1::text::pg_catalog.pg_lsn,
               GREATEST(pg_catalog.pg_last_wal_receive_lsn(),
                        pg_catalog.pg_last_wal_replay_lsn()))::bigint AS unreceived,
           extract(epoch FROM $2::timestamptz
                   - pg_catalog.pg_last_xact_replay_timestamp())::float8 AS oldest_s,
           (SELECT count(*)::int FROM pg_catalog.pg_stat_activity a
             WHERE a.wait_event LIKE 'RecoveryConflict%') AS conflicts
"""
