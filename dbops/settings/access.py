"""How each role is reached: what was said about it, the most specific first.

A higher source wins over a lower one; within one source a secret wins over a URL, and
a URL over its parts.
"""

import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import SecretStr

from dbops.endpoint import Address, Endpoint, Role, parse_addresses, parse_url
from dbops.errors import ConfigError

if TYPE_CHECKING:
    from dbops.settings.model import Settings

# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
_SECRET_ID = re.compile(r"[A-Za-z0-9/_+=.@!:-]{1,2048}")

_PARTS = {
    "db_host": "addresses",
    "db_port": "port",
    "db_name": "database",
    "db_user": "user",
    "db_password": "password",
    "db_sslmode": "sslmode",
    "db_sslrootcert": "sslrootcert",
}


class SecretRef(NamedTuple):
    """A secret of AWS Secrets Manager that speaks of an endpoint."""

    secret_id: str


class Aws(NamedTuple):
    """How to reach AWS; None leaves a value to boto3's own chain."""

    region: str | None
    endpoint_url: str | None
    profile: str | None
    access_key_id: str | None
    secret_access_key: SecretStr | None
    session_token: SecretStr | None


Layer = Endpoint | SecretRef


class Access(NamedTuple):
    """How a role is reached: what was said about it, the most specific first."""

    role: Role
    own: tuple[Layer, ...]
    """What speaks of this role."""
    inherited: tuple[Layer, ...]
    """What speaks of the writer and fills the rest; never the reader's address."""
    auth: Literal["password", "iam"]
    aws: Aws


def access_to(settings: "Settings", role: Role) -> Access:
    """Return what was said about `role`.

    Raises:
        ConfigError: As `Settings.access`.
    """
    own = (*_of_tenant(settings, role), *_own(settings, role))
    inherited = () if role == "writer" else _own(settings, "writer")
    if role == "reader" and not settings.has_reader:
        raise ConfigError(
            "no reader is configured",
            hint="set DATABASE_READER_URL, DB_READER_HOST or DB_READER_SECRET_ID",
            phase="settings",
        )
    if not any(_says_where(layer) for layer in (*own, *inherited)):
        raise _nowhere(settings)
    return Access(role, own, inherited, settings.auth, settings.aws)


def _of_tenant(settings: "Settings", role: Role) -> tuple[Layer, ...]:
    """Return what one tenant has for itself; who creates databases is no tenant."""
    place = settings.tenant_place
    if place is None:
        return ()
    return (place if role != "admin" else replace(place, database=None),)


def tenant_place(database: str | None, host: str | None) -> Endpoint:
    """Return where a tenant is, as far as that is not where its target is.

    Raises:
        ConfigError: If `host` is not one.
    """
    if host is None:
        return Endpoint(database=database)
    return replace(_host(host, "the tenant's host"), database=database)


def _nowhere(settings: "Settings") -> ConfigError:
    if settings.database_url is not None:
        return ConfigError(
            "DATABASE_URL names no host",
            hint="write it as postgresql://user:password@host:5432/database, or set "
            "DB_HOST too",
            phase="settings",
        )
    return ConfigError(
        "no database is configured",
        hint="set DATABASE_URL, DB_HOST or DB_SECRET_ID, or start a local pair "
        "with: dbops local up",
        phase="settings",
    )


def _says_where(layer: Layer) -> bool:
    return isinstance(layer, SecretRef) or bool(layer.addresses)


def _own(settings: "Settings", role: Role) -> tuple[Layer, ...]:
    """Return the layers that speak of `role` itself."""
    layers: list[tuple[str, Layer]] = []
    name = "database_url" if role == "writer" else f"database_{role}_url"
    secret = "db_secret_id" if role == "writer" else f"db_{role}_secret_id"
    if secret_id := secret_of(settings, role):
        layers.append((secret, _secret_ref(settings, secret, secret_id)))
    url: SecretStr | None = getattr(settings, name)
    if url is not None:
        layers.append((name, _parsed(settings, name, url)))
    if role == "writer":
        layers += _parts(settings)
    if role == "reader" and settings.db_reader_host:
        layers.append(("db_reader_host", _reader_host(settings)))
    # Stable: what one source says keeps the order secret, URL, parts.
    own = [it for _, it in sorted(layers, key=lambda it: settings.rank(it[0]))]
    if role == "admin":
        own.append(Endpoint(database=settings.maintenance_db))
    return tuple(own)


def secret_of(settings: "Settings", role: Role) -> str | None:
    """Return the id of the secret that speaks of `role`, where one is asked."""
    if settings.aws_use_localstack:
        return None
    return {
        "writer": settings.db_secret_id,
        "reader": settings.db_reader_secret_id,
        "admin": settings.db_admin_secret_id,
        "migration": None,
    }[role]


def is_secret_id(text: str) -> bool:
    """Tell whether `text` can be the name or ARN of a secret, and not its value."""
    return _SECRET_ID.fullmatch(text) is not None


def _secret_ref(settings: "Settings", name: str, secret_id: str) -> SecretRef:
    # Container platforms inject a secret's value where its name was meant.
    if not is_secret_id(secret_id):
        raise ConfigError(
            f"{settings.said(name)} holds no name or ARN of a secret",
            hint="give the secret's name, not its value",
            phase="settings",
        )
    return SecretRef(secret_id)


def _parsed(settings: "Settings", name: str, url: SecretStr) -> Endpoint:
    try:
        return parse_url(url.get_secret_value())
    except ConfigError as error:
        raise ConfigError(
            f"{error.message} ({settings.said(name)})",
            hint=error.hint,
            phase="settings",
        ) from None


def _parts(settings: "Settings") -> list[tuple[str, Layer]]:
    """Return the parts of the writer, a layer for each source that says any."""
    merged: dict[int, tuple[str, Endpoint]] = {}
    for name, field in _PARTS.items():
        value = getattr(settings, name)
        if value in (None, ""):
            continue
        part = (
            _hosts(settings, name) if name == "db_host" else Endpoint(**{field: value})
        )
        rank = settings.rank(name)
        first, endpoint = merged.get(rank, (name, Endpoint()))
        merged[rank] = (first, endpoint.filled_from(part))
    return list(merged.values())


def _hosts(settings: "Settings", name: str) -> Endpoint:
    return _host(getattr(settings, name), settings.said(name))


def _host(text: str, whose: str) -> Endpoint:
    if text.startswith("/"):
        return Endpoint(addresses=(Address(text),), is_port_unsaid=True)
    hint = "a name, an address or a socket's folder; a URL goes to DATABASE_URL"
    # A whole URL in the wrong place holds a password, and a host is shown to people.
    addresses: tuple[Address, ...] = ()
    has_port = False
    if "@" not in text and "/" not in text:
        with suppress(ConfigError):
            addresses, has_port = parse_addresses(text)
    if not addresses:
        raise ConfigError(
            f"{whose} is not the name of a host", hint=hint, phase="settings"
        )
    return Endpoint(addresses=addresses, is_port_unsaid=not has_port)


def _reader_host(settings: "Settings") -> Endpoint:
    """Give the reader its own port, else DB_PORT; else it will get the writer's."""
    port = Endpoint(port=settings.db_reader_port or settings.db_port)
    return _hosts(settings, "db_reader_host").filled_from(port)
