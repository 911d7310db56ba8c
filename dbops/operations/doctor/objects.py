"""Which relations are the users' own, and how are they written?"""


def ours(alias: str) -> str:
    """Return the SQL condition that a row of pg_class is a user's own relation.

    Catalogs and temporary tables are nobody's to mend, and what an extension has made
    is its author's; of an index, its table is asked.

    Args:
        alias: What the query calls pg_class; never from outside.
    """
    # Both lists are made once for a query and looked up by hash, whatever the size.
    # https://www.postgresql.org/docs/current/catalog-pg-class.html
    # https://www.postgresql.org/docs/current/catalog-pg-depend.html
    return f"""(
        {alias}.relpersistence <> 't'
        AND {alias}.relnamespace NOT IN (
            SELECT n.oid FROM pg_catalog.pg_namespace n
             WHERE n.nspname ~ '^pg_' OR n.nspname = 'information_schema')
        AND {alias}.oid NOT IN (
            SELECT d.objid FROM pg_catalog.pg_depend d
             WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
               AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
               AND d.deptype = 'e'))"""  # noqa: S608 # constants


def name(oid: str) -> str:
    """Return the SQL for a relation's name, quoted, with its schema.

    A regclass is written with its schema where that is not searched; ours are not.

    Args:
        oid: An SQL expression; never from outside.
    """
    return f"{oid}::pg_catalog.regclass::text"


def size(alias: str) -> str:
    """Return the SQL for a relation's size as vacuum and CREATE INDEX note it.

    To measure each file takes longer, and waits for whoever has locked one.
    """
    block = "pg_catalog.current_setting('block_size')::bigint"
    return f"(greatest({alias}.relpages, 0) * {block})"


def drop_index(name: str, kind: str) -> str:
    """Return what drops an index; a partitioned one cannot be dropped concurrently."""
    return f"DROP INDEX {'' if kind == 'I' else 'CONCURRENTLY '}{name}"


def some(names: list[str], most: int = 3) -> str:
    """Name the first of them, and how many more there are."""
    more = len(names) - most
    said = ", ".join(names[:most])
    return f"{said} and {more} more" if more > 0 else said
