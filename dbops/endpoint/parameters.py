"""What stands behind the `?` of a connection URL."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from dbops.endpoint.model import SessionAttrs, SslMode
from dbops.endpoint.wording import ESCAPES, unescaped, wrong
from dbops.errors import ConfigError

# Parameters of libpq, poolers and other drivers that people paste along with their
# URL and that change nothing which dbops promises.
_IGNORED = frozenset(
    {
        "channel_binding", "client_encoding", "fallback_application_name",
        "gssencmode", "keepalives", "keepalives_count", "keepalives_idle",
        "keepalives_interval", "krbsrvname", "load_balance_hosts", "pgbouncer",
        "pool_timeout", "prepared_statement_cache_size", "schema", "sslcompression",
        "statement_cache_size", "tcp_user_timeout", "connection_limit",
    }
)  # fmt: skip

_PLAIN_NAME = re.compile(r"[a-z][a-z_]{1,30}")

T = TypeVar("T", bound=str)


def parameters(query: str, *, has_login: bool) -> dict[str, list[str]]:
    """Read `name=value&…`; a + is a +, as in libpq.

    Raises:
        ConfigError: If dbops knows no parameter of this name.
    """
    said: dict[str, list[str]] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        name = unescaped(name)
        known = name in _IGNORED or name in _FIELDS or name in _SPECIAL
        if not known and "@" in part:
            raise wrong("contains an unescaped '@' or '?'", ESCAPES)
        if not known:
            raise _unknown(name, is_shown=has_login and "=" in part)
        said.setdefault(name, []).append(unescaped(value))
    return said


def _unknown(name: str, *, is_shown: bool) -> ConfigError:
    """Name the parameter only where it can be no part of a password."""
    from difflib import get_close_matches  # noqa: PLC0415 # rarely needed

    close = get_close_matches(name, [*_FIELDS, *_SPECIAL], n=1, cutoff=0.75)
    is_shown = is_shown and _PLAIN_NAME.fullmatch(name) is not None
    return wrong(
        "has a parameter that dbops does not know" + (f": {name}" if is_shown else ""),
        f"did you mean {close[0]}?" if close else "remove it, or check its spelling",
    )


def fields(parameters: Mapping[str, list[str]]) -> dict[str, Any]:
    """Turn parameters into fields of Endpoint; of several alike, the last wins.

    Raises:
        ConfigError: If a value has the wrong form, or is a secret.
    """
    said: dict[str, Any] = {}
    for name, values in parameters.items():
        if name in ("password", "sslpassword"):
            raise wrong(
                f"carries a secret in its parameter {name}",
                "put the password before the @, or in DB_PASSWORD",
            )
        if name == "sslnegotiation" and values[-1] != "postgres":
            raise wrong(
                "asks for a TLS negotiation that dbops does not speak",
                "remove sslnegotiation",
            )
        if name in _FIELDS and values[-1]:
            field, read = _FIELDS[name]
            said[field] = read(values[-1])
    return said


def _ssl_mode(value: str) -> SslMode:
    # asyncpg's and node's spellings of the same wish.
    spelled = {"true": "require", "false": "disable", "no-verify": "require"}
    value = value.lower()
    return _one_of("sslmode", spelled.get(value, value), get_args(SslMode))


def _session_attrs(value: str) -> SessionAttrs:
    return _one_of("target_session_attrs", value, get_args(SessionAttrs))


def _one_of(name: str, value: str, known: tuple[T, ...]) -> T:
    for word in known:
        if value == word:
            return word
    raise wrong(
        f"has a value of {name} that libpq does not know",
        "use one of " + ", ".join(known),
    )


def _connect_timeout(value: str) -> float | None:
    """Read libpq's whole seconds; zero or less means no limit of its own."""
    if not re.fullmatch(r"-?[0-9]{1,6}", value):
        raise wrong(
            "has a connect_timeout that is not a whole number of seconds",
            "write connect_timeout=5",
        )
    return float(value) if int(value) > 0 else None


def _path(value: str) -> str:
    """Read a file's name; `system` is no file but the machine's own store."""
    if value == "system":
        return value
    try:
        return str(Path(value).expanduser())
    except RuntimeError:
        raise wrong(
            "names a file in a home folder that cannot be found",
            "write the whole path instead of ~",
        ) from None


_FIELDS: dict[str, tuple[str, Callable[[str], object]]] = {
    "sslmode": ("sslmode", _ssl_mode),
    "ssl": ("sslmode", _ssl_mode),
    "sslrootcert": ("sslrootcert", _path),
    "sslcert": ("sslcert", _path),
    "sslkey": ("sslkey", _path),
    "target_session_attrs": ("target_session_attrs", _session_attrs),
    "connect_timeout": ("connect_timeout_s", _connect_timeout),
    "application_name": ("application_name", str),
    "options": ("options", str),
    "user": ("user", str),
    "dbname": ("database", str),
}
_SPECIAL = frozenset({"host", "port", "password", "sslpassword", "sslnegotiation"})
