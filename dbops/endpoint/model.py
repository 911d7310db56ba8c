"""What an endpoint is, how two of them are merged, and how one is written."""

import re
from dataclasses import dataclass, field, replace
from typing import Literal, Self, TypeVar
from urllib.parse import quote

from pydantic import SecretStr
from typing_extensions import override

Role = Literal["writer", "reader", "admin", "migration"]
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
SessionAttrs = Literal[
    "any", "read-write", "read-only", "primary", "standby", "prefer-standby"
]
Driver = Literal["asyncpg", "psycopg"]

DEFAULT_PORT = 5432

E = TypeVar("E", bound="Endpoint")

_UNSAID_WHEN_NONE = (
    "database", "user", "port", "sslmode", "sslrootcert", "sslcert",
    "connect_timeout_s", "application_name", "options", "driver",
)  # fmt: skip
_NOT_IN_A_HOST = re.compile(r"[\x00-\x20\x7f%/?#@\[\]\\,:]")


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port; a host that starts with `/` is a socket folder."""

    host: str
    port: int = DEFAULT_PORT

    @override
    def __str__(self) -> str:
        """Write it as in a URL, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_socket(self) -> bool:
        """Whether the host is a folder with a Unix socket."""
        return self.host.startswith("/")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Everything that it takes to connect, except how long to wait.

    A field is None where nobody has said anything yet; a secret can still fill it
    (`dbops.credentials`).
    """

    addresses: tuple[Address, ...] = ()
    database: str | None = None
    user: str | None = None
    password: SecretStr | None = field(default=None, repr=False)
    sslmode: SslMode | None = None
    sslrootcert: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    target_session_attrs: SessionAttrs = "any"
    connect_timeout_s: float | None = None
    application_name: str | None = None
    options: str | None = None
    driver: Driver | None = field(default=None, repr=False, compare=False)
    """What an application's sessions use; no server is another one because of it."""
    port: int | None = field(default=None, repr=False, compare=False)
    """A port that was said apart from any host; it completes addresses without one."""
    is_port_unsaid: bool = field(default=False, repr=False, compare=False)
    """Whether the addresses came without a port, so that `port` still counts."""

    def filled_from(self, other: "Endpoint") -> Self:
        """Return this endpoint with what it lacks taken from `other`."""
        lacks: dict[str, object] = {
            name: getattr(other, name)
            for name in _UNSAID_WHEN_NONE
            if getattr(self, name) is None
        }
        # A password belongs to its user; one that names none belongs to anybody.
        same_user = self.user is None or other.user in (None, self.user)
        if self.password is None and same_user:
            lacks["password"] = other.password
        if not self.addresses:
            lacks["addresses"] = other.addresses
            lacks["is_port_unsaid"] = other.is_port_unsaid
        if self.sslkey is None and self.sslcert is None:
            lacks["sslkey"] = other.sslkey
        if self.target_session_attrs == "any":
            lacks["target_session_attrs"] = other.target_session_attrs
        return _with_port(replace(self, **lacks))  # type: ignore[arg-type] # names are fields

    def with_database(self, database: str) -> Self:
        """Return the same server, another database."""
        return replace(self, database=database)

    def url(self, *, show_password: bool = False) -> str:
        """Write the endpoint as a URL that libpq and other drivers read.

        Args:
            show_password: Include the password; for a child's environment only,
                never for anything that is printed.
        """
        # Sockets have no room before the path, so then all hosts stand behind it.
        behind = any(address.is_socket for address in self.addresses)
        hosts = "" if behind else ",".join(map(_host_and_port, self.addresses))
        query = "&".join(
            f"{name}={quote(str(value), safe='/,', errors='replace')}"
            for name, value in self._parameters(hosts_behind=behind).items()
            if value is not None
        )
        path = quote(self.database or "", safe="", errors="replace")
        login = self._login(show_password=show_password)
        return f"postgresql://{login}{hosts}/{path}{'?' if query else ''}{query}"

    def _login(self, *, show_password: bool) -> str:
        user = quote(self.user or "", safe="", errors="replace")
        if self.password is None:
            return f"{user}@" if user else ""
        if not show_password:
            return f"{user}:***@"
        secret = self.password.get_secret_value()
        return f"{user}:{quote(secret, safe='', errors='replace')}@"

    def _parameters(self, *, hosts_behind: bool) -> dict[str, object]:
        """Return what stands behind the `?`; None for what is not said."""
        said: dict[str, object] = {}
        if hosts_behind:
            said["host"] = ",".join(address.host for address in self.addresses)
            said["port"] = ",".join(str(address.port) for address in self.addresses)
        for name in ("sslmode", "sslrootcert", "sslcert", "sslkey"):
            said[name] = getattr(self, name)
        if self.target_session_attrs != "any":
            said["target_session_attrs"] = self.target_session_attrs
        if self.connect_timeout_s is not None:
            said["connect_timeout"] = max(1, round(self.connect_timeout_s))
        return {
            **said,
            "application_name": self.application_name,
            "options": self.options,
        }


def _with_port(endpoint: E) -> E:
    """Give addresses without a port the one that was said apart from them."""
    if not (endpoint.addresses and endpoint.is_port_unsaid and endpoint.port):
        return endpoint
    completed = tuple(Address(it.host, endpoint.port) for it in endpoint.addresses)
    return replace(endpoint, addresses=completed, is_port_unsaid=False)


def _host_and_port(address: Address) -> str:
    if ":" in address.host:
        # A zone, as in fe80::1%eth0, starts with a % that has to be escaped.
        return f"[{address.host.replace('%', '%25')}]:{address.port}"
    host = _NOT_IN_A_HOST.sub(lambda odd: quote(odd[0], safe=""), address.host)
    return f"{host}:{address.port}"
