"""How is a step of the journal written, and read again?

Each step is a function in the schema `pgdbops`, whose body is one JSON constant, and
which nobody calls: it is read from the catalog. A table would be dropped by the next
autogenerate of a project with include_schemas, which compares every table of every
schema; SQLAlchemy and Alembic reflect no functions. A function is created in the very
transaction of its revision, is dumped and restored like all else, and two migrators
never wait for each other's.
https://www.postgresql.org/docs/current/catalog-pg-proc.html
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, text

SCHEMA = "pgdbops"

# In the order of the steps: their names begin with the server's clock.
STEPS = text(f"""
    SELECT p.prosrc
      FROM pg_catalog.pg_proc p
      JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = '{SCHEMA}' AND pg_catalog.starts_with(p.proname::text, 'step_')
     ORDER BY p.proname DESC
     LIMIT :limit
""")  # noqa: S608 # a constant
_BEFORE, _AFTER = "SELECT $json$", "$json$::pg_catalog.json"

# What ends a quotation, or what a driver looks for in a statement.
_SPECIAL = "$'%?"


def created(name: str, step: Mapping[str, object]) -> str:
    """Return the statement that takes a step down."""
    written = json.dumps(step)  # in ASCII
    for special in _SPECIAL:
        written = written.replace(special, f"\\u{ord(special):04x}")
    return (
        f"CREATE FUNCTION {SCHEMA}.{name}() RETURNS pg_catalog.json "
        f"LANGUAGE sql IMMUTABLE AS $body${_BEFORE}{written}{_AFTER}$body$"
    )


def steps(connection: Connection, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the steps, newest first; what is no step of ours is left out."""
    bodies = connection.execute(STEPS, {"limit": limit}).scalars()
    return [step for body in bodies for step in _read(body)]


def _read(body: str) -> Iterator[dict[str, Any]]:
    if not (body.startswith(_BEFORE) and body.endswith(_AFTER)):
        return
    try:
        step = json.loads(body[len(_BEFORE) : -len(_AFTER)])
    except ValueError:
        return
    if isinstance(step, dict):
        yield step
