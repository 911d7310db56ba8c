"""What is a server asked about its connections?"""

# reserved_connections and pg_use_reserved_connections exist from 16 on; RDS had a
# reserve of its own before that. A superuser has every role, and is no application.
# https://www.postgresql.org/docs/current/runtime-config-connection.html
# https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraPostgreSQL.Reference.ParameterGroups.html
ALLOWED = """
    SELECT pg_catalog.current_setting('max_connections')::int AS max_connections,
           pg_catalog.current_setting('superuser_reserved_connections')::int
             AS superuser_reserved,
           coalesce(pg_catalog.current_setting('reserved_connections', true),
                    nullif(pg_catalog.current_setting(
                      'rds.rds_superuser_reserved_connections', true), ''),
                    '0')::int AS reserved_connections,
           coalesce((SELECT pg_catalog.pg_has_role(r.oid, p.oid, 'USAGE')
                       FROM pg_catalog.pg_roles p
                      WHERE p.rolname = 'pg_use_reserved_connections'), false)
             AS uses_reserved,
           r.rolsuper AS is_superuser,
           r.rolconnlimit AS role_limit,
           d.datconnlimit AS database_limit,
           pg_catalog.quote_ident(r.rolname) AS role,
           pg_catalog.quote_ident(d.datname) AS database,
           pg_catalog.quote_ident(current_user) AS grantee,
           pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
             AS sees_everybody,
           pg_catalog.pg_is_in_recovery() AS is_standby,
           pg_catalog.pg_postmaster_start_time()::text AS started_at
      FROM pg_catalog.pg_roles r, pg_catalog.pg_database d
     WHERE r.rolname = session_user
       AND d.datname = pg_catalog.current_database()
"""
# The type and the state of other roles' sessions are hidden without pg_read_all_stats;
# who they are is not. What has no user is a worker; a sender of WAL has a slot of its
# own, and its pid is shown to everybody.
# https://www.postgresql.org/docs/current/monitoring-stats.html
CLIENTS = """
    SELECT a.pid, a.usesysid, a.datid, a.usename, a.datname, a.state,
           coalesce(nullif(a.application_name, ''), '(no name)') AS application
      FROM pg_catalog.pg_stat_activity a
     WHERE a.backend_type = 'client backend'
        OR (a.backend_type IS NULL AND a.usesysid IS NOT NULL AND a.datid IS NOT NULL
            AND a.pid NOT IN (SELECT r.pid FROM pg_catalog.pg_stat_replication r))
"""
HOLDERS = f"""
    SELECT c.application,
           coalesce(c.state, 'unknown') AS state,
           count(*)::int AS connections,
           (count(*) FILTER (WHERE c.usename = session_user))::int AS of_role,
           (count(*) FILTER (WHERE c.datname = pg_catalog.current_database()))::int
             AS of_database
      FROM ({CLIENTS}) c
     GROUP BY 1, 2
     ORDER BY 3 DESC, 1, 2
"""  # noqa: S608 # a constant of ours
