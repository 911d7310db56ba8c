"""What the writer and the reader are asked."""

# One statement, so that identity, position, clock and snapshot belong together.
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
           pg_catalog.host(pg_catalog.inet_server_addr()) AS address,
           pg_catalog.pg_current_snapshot()::text AS snapshot,
           (SELECT setting::float8 / 1000 FROM pg_catalog.pg_settings
             WHERE name = 'wal_writer_delay') AS wal_writer_delay_s
"""
# On an idle writer the next record goes behind the header of the next page, which is
# neither written nor sent before that record is: 24 bytes, 40 in a new file. No record
# fits between.
# https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/access/xlog_internal.h
FLUSHED = """
    SELECT flushed::text AS flushed,
           flushed >= inserted
           OR (inserted - flushed <= 40
               AND (flushed - '0/0'::pg_catalog.pg_lsn)
                   % pg_catalog.current_setting('wal_block_size')::numeric = 0)
             AS is_all
      FROM pg_catalog.pg_current_wal_flush_lsn() AS flushed,
           (SELECT $1::text::pg_catalog.pg_lsn AS inserted) AS asked
"""
# Replay before receive, or the difference can be negative; and receive may stand before
# replay after a restart, hence GREATEST.
#
# The control file knows the timeline without a privilege, and late: it is written at
# restart points. The receiver knows it at once; a row of pg_stat_wal_receiver with a
# pid and no status means that pg_read_all_stats is missing. Of its conninfo, and of
# primary_conninfo, nothing else is taken: they may hold a password.
#
# The snapshot of a standby lists none of the transactions that it knows to be open
# between its xmin and its xmax, so each is asked for.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-CONTROL
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-WAL-RECEIVER-VIEW
ON_READER = """
    WITH replayed AS MATERIALIZED (
        SELECT pg_catalog.pg_is_in_recovery() AS is_in_recovery,
               pg_catalog.pg_last_wal_replay_lsn() AS lsn,
               pg_catalog.pg_last_xact_replay_timestamp() AS commit_clock,
               pg_catalog.pg_snapshot_xmin(snapshot)::text::bigint AS xmin,
               pg_catalog.pg_snapshot_xmax(snapshot)::text::bigint AS xmax
          FROM pg_catalog.pg_current_snapshot() AS snapshot),
    received AS MATERIALIZED (
        SELECT GREATEST(pg_catalog.pg_last_wal_receive_lsn(), lsn) AS lsn
          FROM replayed)
    SELECT s.is_in_recovery,
           s.lsn >= $1::text::pg_catalog.pg_lsn AS is_replayed,
           pg_catalog.pg_wal_lsn_diff($1::text::pg_catalog.pg_lsn, s.lsn)::bigint
             AS bytes_behind,
           pg_catalog.pg_wal_lsn_diff($1::text::pg_catalog.pg_lsn, g.lsn)::bigint
             AS bytes_unreceived,
           s.lsn::text AS replayed,
           s.commit_clock, s.xmax,
           CASE WHEN s.is_in_recovery AND s.xmax - s.xmin <= 1000
                THEN ARRAY(SELECT x FROM pg_catalog.generate_series(s.xmin, s.xmax - 1)
                                           AS x
                            WHERE pg_catalog.pg_xact_status(x::text::pg_catalog.xid8)
                                  = 'in progress') END AS open_here,
           CASE WHEN s.is_in_recovery
                THEN pg_catalog.pg_get_wal_replay_pause_state() END AS pause_state,
           (SELECT setting::float8 / 1000 FROM pg_catalog.pg_settings
             WHERE name = 'recovery_min_apply_delay') AS apply_delay_s,
           (SELECT setting::float8 / 1000 FROM pg_catalog.pg_settings
             WHERE name = 'wal_receiver_timeout') AS receiver_timeout_s,
           pg_catalog.current_setting('restore_command') <> '' AS has_archive,
           (SELECT setting = '' FROM pg_catalog.pg_settings
             WHERE name = 'primary_conninfo') AS is_archive_only,
           (SELECT system_identifier::text FROM pg_catalog.pg_control_system())
             AS system_identifier,
           GREATEST((SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),
                    (SELECT min_recovery_end_timeline
                       FROM pg_catalog.pg_control_recovery())) AS known_timeline,
           pg_catalog.pg_postmaster_start_time() AS started,
           pg_catalog.current_setting('port') AS port,
           pg_catalog.host(pg_catalog.inet_server_addr()) AS address,
           pg_catalog.quote_ident(session_user) AS role,
           r.pid AS receiver_pid,
           r.status AS receiver_status,
           r.received_tli AS received_timeline,
           r.latest_end_lsn::text AS upstream_position,
           r.sender_host, r.sender_port,
           r.slot_name::text AS slot_name,
           coalesce(pg_catalog.substring(r.conninfo, '(?:^| )application_name=(\\S+)'),
                    pg_catalog.substring(r.conninfo, 'k_application_name=(\\S+)'))
             AS receiver_name,
           extract(epoch FROM pg_catalog.clock_timestamp() - r.last_msg_receipt_time)
             ::float8 AS silent_s,
           (SELECT count(*)::int FROM pg_catalog.pg_stat_activity a
             WHERE a.backend_type = 'startup'
               AND (a.wait_event LIKE 'RecoveryConflict%'
                    OR a.wait_event_type IN ('Lock', 'BufferPin', 'Buffer')))
             AS conflicts
      FROM replayed s CROSS JOIN received g
      LEFT JOIN pg_catalog.pg_stat_wal_receiver r ON true
"""
