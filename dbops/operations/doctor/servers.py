"""Who is asked, and what may we see there?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dbops.engine.aurora import AURORA
from dbops.engine.read_only import ReadOnly
from dbops.errors import DbopsError
from dbops.operations.doctor.answer import Role
from dbops.settings import Settings

# https://www.postgresql.org/docs/current/predefined-roles.html
ABOUT = f"""
    SELECT pg_catalog.current_setting('server_version_num')::int / 10000 AS major,
           pg_catalog.pg_is_in_recovery() AS is_standby,
           {AURORA} AS is_aurora,
           pg_catalog.current_database()::text AS database,
           pg_catalog.quote_ident(current_user) AS user,
           (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
             AS is_superuser,
           ARRAY(SELECT rolname::text FROM pg_catalog.pg_roles
                  WHERE rolname LIKE 'pg\\_%'
                    AND pg_catalog.pg_has_role(current_user, oid, 'USAGE')) AS roles,
           (SELECT s.source FROM pg_catalog.pg_settings s
             WHERE s.name = 'default_transaction_read_only' AND s.setting = 'on')
             AS read_only_source
"""  # noqa: S608 # constants


@dataclass(frozen=True)
class Server:
    """One server that answers, and what we may see there."""

    role: Role
    """As what it is configured; not what it is."""
    questions: ReadOnly
    """How to ask it."""
    major: int
    """Its major version, such as 18."""
    is_standby: bool
    """Whether it is in recovery."""
    is_aurora: bool
    """Whether it is Amazon Aurora."""
    database: str
    """The database that we are connected to."""
    user: str
    """Who we are there, quoted as an SQL identifier."""
    is_superuser: bool
    """Whether nothing is hidden from us."""
    roles: frozenset[str]
    """The predefined roles whose privileges we have."""
    interval_s: float = 1.0
    """The time between two samples, where a rate is meant."""
    read_only_source: str | None = None
    """What turned default_transaction_read_only on, as `pg_settings` names it; None
    where it is off. Later questions cannot ask: their session is read-only."""

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """Ask, in a read-only transaction of its own; see `ReadOnly.rows`."""
        return await self.questions.rows(query, *arguments)

    async def row(self, query: str, *arguments: object) -> dict[str, Any]:
        """Ask what has exactly one row; see `ReadOnly.row`."""
        return await self.questions.row(query, *arguments)

    def may(self, role: str) -> bool:
        """Whether we have a predefined role's privileges."""
        return self.is_superuser or role in self.roles

    def grant(self, role: str) -> str:
        """Return what would give us that role."""
        return f"GRANT {role} TO {self.user}"


@dataclass(frozen=True)
class Cluster:
    """Writer and reader together, and what the user said about them."""

    settings: Settings
    """What the user said."""
    writer: Server | None = None
    """None where it is not configured or gives no answer."""
    reader: Server | None = None
    """Same."""
    failures: Mapping[Role, DbopsError] = field(default_factory=dict)
    """Why a server gives no answer."""

    @property
    def servers(self) -> tuple[Server, ...]:
        """Those that answer, the writer first."""
        return tuple(it for it in (self.writer, self.reader) if it is not None)


async def met(role: Role, questions: ReadOnly, *, interval_s: float) -> Server:
    """Ask a server who it is and what we may see there.

    Raises:
        DbopsError: As `ReadOnly.rows`.
    """
    about = await questions.row(ABOUT)
    about["roles"] = frozenset(about["roles"])
    return Server(role=role, questions=questions, interval_s=interval_s, **about)
