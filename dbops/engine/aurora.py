"""Is a server Amazon Aurora? Told by a function's name, because it refuses much else.

https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Appendix.AuroraPostgreSQL.Functions.html
"""

# An ordinary user can make a function of that name, and must not change what is asked.
# Operators are qualified too: a hostile search_path may hold namesakes.
AURORA = """EXISTS (
        SELECT FROM pg_catalog.pg_proc p
          JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) p.proowner
         WHERE p.proname OPERATOR(pg_catalog.=) 'aurora_version'
           AND (r.rolsuper OR p.pronamespace OPERATOR(pg_catalog.=)
                   'pg_catalog'::pg_catalog.regnamespace))"""
"""A boolean expression of SQL."""

IS_AURORA = f"SELECT {AURORA}"
"""A question with one column and one row."""
