"""What the writer and the reader are asked."""

# Aurora refuses every question about WAL, so it is told first, and by name alone.
# https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Appendix.AuroraPostgreSQL.Functions.html
IS_AURORA = """
    SELECT EXISTS (SELECT FROM pg_catalog.pg_proc WHERE proname = 'aurora_version')
"""
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-BACKUP
ON_WRITER = """
    SELECT pg_catalog.pg_is_in_recovery() AS is_in_recovery,
           (SELECT system_identifier::text FROM pg_catalog.pg_control_system())
             AS system_identifier,
           CASE WHEN NOT pg_catalog.pg_is_in_recovery()
                THEN pg_catalog.pg_current_wal_insert_lsn()::text END AS inserted,
           CASE WHEN NOT pg_catalog.pg_is_in_recovery()
                THEN ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(
                        pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int
           END AS timeline,
           pg_catalog.pg_postmaster_start_time() AS started,
           pg_catalog.current_setting('port') AS port,
           (SELECT setting::float8 / 1000 FROM pg_catalog.pg_settings
             WHERE name = 'wal_writer_delay') AS wal_writer_delay_s
"""
FLUSHED = """
    SELECT flushed::text AS flushed,
           flushed >= $1::text::pg_catalog.pg_lsn AS is_all
      FROM pg_catalog.pg_current_wal_flush_lsn() AS flushed
"""
# The control file knows the timeline without a privilege, and late: it is written at
# restart points. The receiver knows it at once; a row of pg_stat_wal_receiver with a
# pid and no status means that pg_read_all_stats is missing.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-CONTROL
ON_READER = """
    WITH replayed AS MATERIALIZED (
        SELECT pg_catalog.pg_is_in_recovery() AS is_in_recovery,
               pg_catalog.pg_last_wal_replay_lsn() AS lsn)
    SELECT s.is_in_recovery,
           s.lsn >= $1::text::pg_catalog.pg_lsn AS is_replayed,
           pg_catalog.pg_wal_lsn_diff($1::text::pg_catalog.pg_lsn, s.lsn)::bigint
             AS bytes_behind,
           CASE WHEN s.is_in_recovery
                THEN pg_catalog.pg_get_wal_replay_pause_state() END AS pause_state,
           (SELECT setting::float8 / 1000 FROM pg_catalog.pg_settings
             WHERE name = 'recovery_min_apply_delay') AS apply_delay_s,
           (SELECT system_identifier::text FROM pg_catalog.pg_control_system())
             AS system_identifier,
           GREATEST((SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),
                    (SELECT min_recovery_end_timeline
                       FROM pg_catalog.pg_control_recovery())) AS known_timeline,
           pg_catalog.pg_postmaster_start_time() AS started,
           pg_catalog.current_setting('port') AS port,
           pg_catalog.quote_ident(session_user) AS role,
           r.pid AS receiver_pid,
           r.status AS receiver_status,
           r.received_tli AS received_timeline,
           (SELECT count(*)::int FROM pg_catalog.pg_stat_activity a
             WHERE a.wait_event LIKE 'RecoveryConflict%') AS conflicts
      FROM replayed s LEFT JOIN pg_catalog.pg_stat_wal_receiver r ON true
"""
