"""What is a server asked again and again?

One statement for all that every server has, so that a sample costs few round trips.
"""

from dbops.engine.aurora import AURORA

# Whatever may be in another encoding than ours (a name or a statement of another
# database) comes as bytes: the server would not convert it, and the driver would stop.
# A session's application_name is ASCII by the server's own care, and only the names of
# tables of this database are shown. pg_locks and pg_blocking_pids() hold everybody up
# for a moment, so they are asked only when somebody waits, or when that is hidden.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
# https://www.postgresql.org/docs/current/view-pg-locks.html
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SESSION
ACTIVITY = """
    WITH seen AS MATERIALIZED (
        SELECT a.*, a.backend_type = 'client backend'
                 OR (a.backend_type IS NULL AND a.datid IS NOT NULL) AS is_client,
               pg_catalog.clock_timestamp() AS now
          FROM pg_catalog.pg_stat_activity a
    ), may AS MATERIALIZED (
        SELECT pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
                 AS see_everybody
    )
    SELECT pg_catalog.pg_is_in_recovery() AS is_in_recovery,
           pg_catalog.quote_ident(current_user) AS "user",
           may.see_everybody,
           (SELECT count(*)::int FROM seen WHERE is_client) AS in_use,
           pg_catalog.current_setting('max_connections')::int
             - pg_catalog.current_setting('superuser_reserved_connections')::int
             - coalesce(pg_catalog.current_setting('reserved_connections', true),
                        nullif(pg_catalog.current_setting(
                          'rds.rds_superuser_reserved_connections', true), ''),
                        '0')::int AS usable,
           (SELECT pg_catalog.json_object_agg(s.state, s.number) FROM (
                SELECT coalesce(state, 'unknown') AS state, count(*) AS number
                  FROM seen WHERE is_client GROUP BY 1 ORDER BY 2 DESC, 1) s
           )::text AS by_state,
           (SELECT pg_catalog.json_agg(t ORDER BY t.age_s DESC) FROM (
                SELECT pid,
                       extract(epoch FROM now - xact_start)::float8 AS age_s,
                       state,
                       wait_event_type AS wait,
                       pg_catalog.encode(pg_catalog.textsend(usename::text), 'hex')
                         AS "user",
                       pg_catalog.encode(pg_catalog.textsend(datname::text), 'hex')
                         AS database,
                       coalesce(application_name, '') AS application,
                       pg_catalog.encode(pg_catalog.substr(
                           pg_catalog.textsend(query), 1, 300), 'hex') AS statement
                  FROM seen
                 WHERE is_client AND xact_start IS NOT NULL
                   AND pid <> pg_catalog.pg_backend_pid()
                 ORDER BY xact_start LIMIT 10) t
           )::text AS transactions,
           CASE WHEN NOT may.see_everybody
                  OR EXISTS (SELECT FROM seen WHERE wait_event_type = 'Lock')
                THEN (SELECT pg_catalog.json_agg(w ORDER BY w.waited_s DESC NULLS LAST)
                        FROM (
                SELECT l.pid,
                       coalesce(a.application_name, '') AS application,
                       extract(epoch FROM pg_catalog.clock_timestamp() - l.waitstart)
                         ::float8 AS waited_s,
                       l.mode,
                       coalesce(pg_catalog.format('%I.%I', n.nspname, c.relname),
                                l.locktype) AS object,
                       h.pid AS blocked_by,
                       coalesce(b.application_name, '') AS blocker_application,
                       b.state AS blocker_state,
                       extract(epoch FROM b.now - b.xact_start)::float8
                         AS blocker_age_s
                  FROM pg_catalog.pg_locks l
                 CROSS JOIN LATERAL (
                       SELECT DISTINCT p FROM pg_catalog.unnest(
                              pg_catalog.pg_blocking_pids(l.pid)) AS p) AS h (pid)
                  LEFT JOIN seen a ON a.pid = l.pid
                  LEFT JOIN seen b ON b.pid = h.pid
                  LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation
                   AND l.database IN (0, (SELECT oid FROM pg_catalog.pg_database
                                     WHERE datname = pg_catalog.current_database()))
                  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 WHERE NOT l.granted
                 ORDER BY l.waitstart LIMIT 20) w)
           END::text AS waits
      FROM may
"""
# Who it is; a position means something in one cluster, and on one timeline, only.
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-BACKUP
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-CONTROL
FLUSHED = """
    SELECT pg_catalog.pg_is_in_recovery() AS is_in_recovery,
           (SELECT system_identifier::text FROM pg_catalog.pg_control_system())
             AS system_identifier,
           pg_catalog.pg_postmaster_start_time() AS started,
           pg_catalog.current_setting('port') AS port,
           CASE WHEN NOT pg_catalog.pg_is_in_recovery()
                THEN pg_catalog.pg_wal_lsn_diff(
                       pg_catalog.pg_current_wal_flush_lsn(), '0/0')::bigint
           END AS position,
           CASE WHEN NOT pg_catalog.pg_is_in_recovery()
                THEN ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(
                        pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int
           END AS timeline
"""
# A row of pg_stat_wal_receiver with a pid and no status means that pg_read_all_stats is
# missing. The control file knows the timeline without a privilege, and late.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-WAL-RECEIVER-VIEW
REPLAY = """
    WITH replayed AS MATERIALIZED (
        SELECT pg_catalog.pg_is_in_recovery() AS is_in_recovery,
               pg_catalog.pg_last_wal_replay_lsn() AS lsn)
    SELECT s.is_in_recovery,
           (SELECT system_identifier::text FROM pg_catalog.pg_control_system())
             AS system_identifier,
           pg_catalog.pg_postmaster_start_time() AS started,
           pg_catalog.current_setting('port') AS port,
           CASE WHEN s.is_in_recovery
                THEN pg_catalog.pg_wal_lsn_diff(s.lsn, '0/0')::bigint END AS position,
           CASE WHEN s.is_in_recovery
                THEN pg_catalog.pg_get_wal_replay_pause_state() END AS pause_state,
           (SELECT setting::float8 / 1000 FROM pg_catalog.pg_settings
             WHERE name = 'recovery_min_apply_delay') AS apply_delay_s,
           (SELECT setting::float8 / 1000 FROM pg_catalog.pg_settings
             WHERE name = 'wal_receiver_timeout') AS receiver_timeout_s,
           pg_catalog.quote_ident(current_user) AS "user",
           r.pid AS receiver_pid,
           r.status AS receiver_status,
           extract(epoch FROM pg_catalog.clock_timestamp() - r.last_msg_receipt_time)
             ::float8 AS silent_s,
           r.received_tli AS received_timeline,
           GREATEST((SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),
                    (SELECT min_recovery_end_timeline
                       FROM pg_catalog.pg_control_recovery())) AS known_timeline
      FROM replayed s LEFT JOIN pg_catalog.pg_stat_wal_receiver r ON true
"""
REPLAYED = """
    SELECT pg_catalog.pg_wal_lsn_diff(
               pg_catalog.pg_last_wal_replay_lsn(), '0/0')::bigint
"""
# Aurora has an answer of its own. Its functions are not in a schema that all releases
# share, so they are called as its manual does.
# https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora_replica_status.html
ABOUT = f"""
    SELECT pg_catalog.current_setting('server_version') AS server_version,
           {AURORA} AS is_aurora
"""
ON_AURORA = """
    SELECT session_id = 'MASTER_SESSION_ID' AS is_writer,
           replica_lag_in_msec / 1000 AS lag_s
      FROM aurora_replica_status()
     WHERE server_id = aurora_db_instance_identifier()
"""
