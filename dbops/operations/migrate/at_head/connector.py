"""How is the database reached that an env.py leads to?"""

import re
from collections.abc import Mapping

from pydantic import SecretStr

from dbops.endpoint import parse_url
from dbops.engine.connect import Connector, Connectors
from dbops.errors import ConfigError
from dbops.operations.migrate.at_head.env import Leads
from dbops.operations.migrate.at_head.unsure import UnsureError

# What Alembic's own templates put where the URL belongs.
_PLACEHOLDER = "driver://"

# A URL that SQLAlchemy, libpq and dbops read alike, and that names everything.
_PLAIN_URL = re.compile(
    r"postgresql(\+(asyncpg|psycopg|psycopg2|psycopg_async))?://"
    r"[\w.~%-]+:[\w.~%!$*-]+@[\w.-]+(:\d+)?/[\w.~%-]+"
    r"(\?(sslmode|ssl)=[\w-]+)?",
    re.ASCII,
)


def own_url(options: Mapping[str, str]) -> SecretStr | None:
    """Return the URL of a configuration; None where it names no database.

    Args:
        options: The section of the ini file.

    Raises:
        UnsureError: If the engine is given more than a URL.
    """
    engine = {name for name in options if name.startswith("sqlalchemy.")}
    if not engine <= {"sqlalchemy.url", "sqlalchemy.echo"}:
        raise UnsureError("options of the engine")
    url = options.get("sqlalchemy.url") or _PLACEHOLDER
    return None if url.startswith(_PLACEHOLDER) else SecretStr(url)


def env_connector(
    leads: Leads, url: SecretStr | None, connectors: Connectors
) -> Connector | None:
    """Return how to reach the database that an env.py leads to.

    Args:
        leads: Where env.py leads to.
        url: What the configuration names.
        connectors: What dbops' settings name.

    Returns:
        A connector; None where a driver might read the URL in another way.

    Raises:
        ConfigError: If the settings are needed and say nothing.
    """
    settings = connectors.settings
    if leads is Leads.TO_DATABASE_URL:
        is_there = settings.sources.get("database_url") == "environment"
        # Alembic takes a % in an option for a reference to another.
        url = settings.database_url if is_there else None
        if url is None or "%" in url.get_secret_value():
            return None
    elif leads is Leads.TO_THE_LENT or url is None:
        return connectors.connector("migration")
    # A schema of the tenant's is asked for where dbops connects, and not there.
    is_plain = _PLAIN_URL.fullmatch(url.get_secret_value()) is not None
    if not is_plain or settings.tenant_schema is not None:
        return None
    try:
        endpoint = parse_url(url.get_secret_value())
    except ConfigError:
        return None
    return connectors.connector_to(endpoint, role="migration")
