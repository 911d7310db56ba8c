"""Where would env.py connect to, if it were let?

It is run on the throw-away server, every engine led there, and what its engines ask
for is noted instead of done.
"""

import re
import ssl
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from alembic.runtime.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Engine, event

from dbops.endpoint import Address, Endpoint, parse_url
from dbops.engine.connect import Connectors
from dbops.errors import ConfigError, DbopsError, RefusedError
from dbops.operations.migrate.environment import look
from dbops.operations.migrate.project import Project


class Leads(NamedTuple):
    """What env.py wants."""

    endpoint: Endpoint | None
    """The database of its own; None where it takes that of dbops' settings."""
    version_table: str
    version_schema: str | None
    """None for the first schema of the search_path."""


async def wanted_by(connectors: Connectors, project: Project) -> Endpoint | None:
    """Return the database that env.py asks for; None where it takes ours.

    An env.py that misses its roles and tables in an empty database has said by then
    where it wants to go; what is wrong with it comes out on the copy.
    """
    wanted: list[Endpoint | None] = []
    with _noted(wanted), suppress(DbopsError):
        await look(connectors, project, lambda *_: None)
    return wanted[-1] if wanted else None


async def leads_of(connectors: Connectors, project: Project) -> Leads:
    """Find out where env.py leads to.

    Args:
        connectors: How to reach a database that everything may be done to.
        project: Whose env.py.

    Raises:
        RefusedError: If env.py works on several databases.
        DbopsError: As `look`.
    """
    found: list[Leads] = []
    wanted: list[Endpoint | None] = []

    def question(_: tuple[str, ...], context: MigrationContext) -> None:
        endpoint = wanted[-1] if wanted else None
        found.append(
            Leads(endpoint, context.version_table, context.version_table_schema)
        )

    with _noted(wanted):
        await look(connectors, project, question)
    if len(found) != 1:
        raise RefusedError(
            f"env.py works on {len(found)} databases, and one can be rehearsed",
            hint="let -x or the section (-n) choose one of them",
            phase="rehearse",
        )
    return found[0]


@contextmanager
def _noted(wanted: list[Endpoint | None]) -> Generator[None]:
    """Note what engines ask for, before that is replaced."""

    def note(
        _dialect: object,
        _record: object,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
    ) -> None:
        wanted.append(_endpoint(arguments, keywords))

    event.listen(Engine, "do_connect", note, insert=True)
    try:
        yield
    finally:
        event.remove(Engine, "do_connect", note)


def _endpoint(arguments: Sequence[Any], said: Mapping[str, Any]) -> Endpoint | None:
    """Read what a driver's connect() was to be called with."""
    words = [word for word in arguments if word]
    if words:
        return _from_words(words)
    if not said.get("host"):
        return None
    password = said.get("password")
    return Endpoint(
        addresses=_addresses(said["host"], said.get("port")),
        database=said.get("database") or said.get("dbname"),
        user=said.get("user"),
        password=SecretStr(password) if isinstance(password, str) else None,
        sslmode=said.get("sslmode") or _mode(said.get("ssl")),
        sslrootcert=said.get("sslrootcert"),
        sslcert=said.get("sslcert"),
        sslkey=said.get("sslkey"),
        options=said.get("options") or _options(said.get("server_settings")),
    )


def _options(parameters: Mapping[str, str] | None) -> str | None:
    """Write asyncpg's parameters as libpq's options, as far as names depend on them."""
    path = (parameters or {}).get("search_path")
    if path is None:
        return None
    return "-c search_path=" + re.sub(r"([\\\s])", r"\\\1", path)


def _from_words(words: Sequence[Any]) -> Endpoint:
    try:
        return parse_url(str(words[0]))
    except ConfigError:
        raise RefusedError(
            "env.py names its database in a way that cannot be followed",
            hint="let it use a URL, or set DATABASE_URL and leave the URL out",
            phase="rehearse",
        ) from None


def _addresses(host: object, port: object) -> tuple[Address, ...]:
    """Read one or several hosts, as text or as a list."""
    hosts = host.split(",") if isinstance(host, str) else list(host)  # type: ignore[call-overload] # asyncpg takes a list
    ports = port.split(",") if isinstance(port, str) else port or ["5432"]
    ports = ports if isinstance(ports, list) else [ports]
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return tuple(
        Address(str(it), int(its)) for it, its in zip(hosts, ports, strict=True)
    )


def _mode(said: object) -> Any:  # noqa: ANN401 # one of libpq's words
    """Return the sslmode for asyncpg's `ssl`; never a weaker one."""
    if isinstance(said, ssl.SSLContext):
        if said.verify_mode == ssl.CERT_NONE:
            return "require"
        return "verify-full" if said.check_hostname else "verify-ca"
    return {True: "verify-full", False: "disable"}.get(said, said)  # type: ignore[call-overload] # a word or None
