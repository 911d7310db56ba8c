"""Which databases are there besides the one that we are connected to?"""

from typing import NamedTuple

from dbops.operations.doctor.servers import Cluster

# A provider's own databases let nobody in, and are nobody's to grant.
# https://www.postgresql.org/docs/current/catalog-pg-database.html
OTHERS = """
    SELECT d.datname::text AS name,
           pg_catalog.quote_ident(d.datname) AS quoted,
           pg_catalog.has_database_privilege(d.oid, 'CONNECT') AS may_connect
      FROM pg_catalog.pg_database d
     WHERE d.datallowconn
       AND d.datname <> pg_catalog.current_database()
       AND d.datname NOT IN
           ('rdsadmin', 'cloudsqladmin', 'azure_maintenance', 'azure_sys')
     ORDER BY d.datname
"""


class Database(NamedTuple):
    """A database of the cluster that takes connections."""

    name: str
    """As it is."""
    quoted: str
    """As SQL writes it."""
    may_connect: bool
    """Whether we have the privilege."""


async def other_databases(cluster: Cluster) -> tuple[Database, ...]:
    """Ask the first server that answers which databases take connections.

    Raises:
        DbopsError: As `ReadOnly.rows`; none where no server answers.
    """
    for server in cluster.servers:
        return tuple(Database(**row) for row in await server.rows(OTHERS))
    return ()
