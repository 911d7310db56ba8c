"""Will the server, or the service that runs it, refuse or hide it?"""

from dbops.operations.lint.rule import Case, rule

_RDS = (
    "https://docs.aws.amazon.com/AmazonRDS/latest/PostgreSQLReleaseNotes/"
    "postgresql-extensions.html"
)
# What Amazon RDS for PostgreSQL lists for 14 to 17.
_ON_RDS = frozenset(
    """
    address_standardizer address_standardizer_data_us amcheck apg_plan_mgmt autoinc
    aws_commons aws_lambda aws_ml aws_s3 bloom bool_plperl btree_gin btree_gist citext
    cube dblink dict_int dict_xsyn earthdistance flow_control fuzzystrmatch h3
    h3_postgis hll hstore hstore_plperl hypopg insert_username intagg intarray ip4r isn
    jsonb_plperl lo log_fdw ltree moddatetime mysql_fdw old_snapshot oracle_fdw orafce
    pageinspect pg_bigm pg_buffercache pg_cron pg_freespacemap pg_hint_plan pg_partman
    pg_prewarm pg_proctab pg_repack pg_similarity pg_stat_statements pg_tle
    pg_transport pg_trgm pg_visibility pg_walinspect pgactive pgaudit pgcollection
    pgcrypto pglogical pgrouting pgrowlocks pgstattuple pgtap plcoffee plls plperl
    plpgsql plprofiler plrust pltcl plv8 postgis postgis_raster postgis_sfcgal
    postgis_tiger_geocoder postgis_topology postgres_fdw prefix rdkit
    rds_activity_stream rds_tools refint seg sslinfo tablefunc tcn tds_fdw
    test_parser tsm_system_rows
    tsm_system_time unaccent uuid-ossp vector xml2
    """.split()  # noqa: SIM905 # words read best as words
)


@rule(
    "alter-system",
    effect="refused",
    on=("alter system",),
    remedy="set it in the parameter group or the server's configuration; ALTER "
    "DATABASE … SET where that is enough",
    source="sql-altersystem.html",
)
def _alter_system(_case: Case) -> str | None:
    return (
        "it takes a superuser, is refused in a transaction, and outlives the revision"
    )


@rule(
    "untrusted-extension",
    effect="refused",
    severity="warn",
    on=("create extension",),
    remedy="leave it to whoever runs the server, or use one that the service has",
    source=_RDS,
)
def _untrusted_extension(case: Case) -> str | None:
    if case.action.name is None or case.action.name in _ON_RDS:
        return None
    return f"{case.action.name} takes a superuser, and Amazon RDS does not have it"


@rule(
    "opaque",
    effect="unseen",
    severity="warn",
    on=("opaque", "unread", "call"),
    remedy="write the statements out, or try it with: dbops migrate --rehearse",
    source="plpgsql-statements.html#PLPGSQL-STATEMENTS-EXECUTING-DYN",
)
def _opaque(case: Case) -> str | None:
    if case.action.kind == "call":
        return "what the procedure does cannot be seen here"
    return case.action.name
