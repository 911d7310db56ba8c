#!/bin/sh
# Run once by the image, when the writer is made: let the standby connect.
# https://www.postgresql.org/docs/current/auth-pg-hba-conf.html
echo "host replication $POSTGRES_USER all scram-sha-256" >>"$PGDATA/pg_hba.conf"
