"""Reading a connection URL as people paste it from their provider.

No message of this module holds a part of a URL that may be a password.
"""

import re
from collections.abc import Iterable, Mapping

from pydantic import SecretStr

from dbops.endpoint.model import DEFAULT_PORT, Address, Driver, Endpoint
from dbops.endpoint.parameters import fields, parameters
from dbops.endpoint.wording import ESCAPES, EXAMPLE, unescaped, wrong

Pair = tuple[str, int | None]
"""A host and its port; None where it names none."""

_SCHEME = re.compile(
    r"postgres(ql)?(\+(asyncpg|psycopg|psycopg2|psycopg_async))?", re.IGNORECASE
)
# psycopg2 knows no event loop: its URLs are those of synchronous code besides.
_DRIVERS: dict[str, Driver] = {
    "asyncpg": "asyncpg",
    "psycopg": "psycopg",
    "psycopg_async": "psycopg",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# `h:5432/my@db` is a host and a database with an @, not a password.
_PORT_AND_PATH = re.compile(r"[0-9]{1,5}(,[^/?]*)?[/?]")
_IN_BRACKETS = re.compile(r"\[([^\[\]]*)\](?::(.*))?")


def parse_url(url: str) -> Endpoint:
    """Read a connection URL.

    Raises:
        ConfigError: If it is not a PostgreSQL URL, or says something that dbops
            cannot honour. The message never holds the URL: it may hold a password.
    """
    scheme, separator, rest = url.strip().partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        raise wrong("does not start with postgresql://", f"write it as {EXAMPLE}")
    if _CONTROL.search(rest):
        raise wrong("contains a line break or another control character", ESCAPES)
    login, place = _cut_login(rest)
    if "#" in place:
        raise wrong("contains an unescaped '#'", ESCAPES)
    before, _, query = place.partition("?")
    hosts, _, database = before.partition("/")
    user, _, password = (login or "").partition(":")
    said = parameters(query, has_login=login is not None)
    addresses, has_port = _all_addresses(hosts, said)
    return Endpoint(
        addresses=addresses,
        # A URL without a port means 5432, unless a more specific source says another.
        port=None if has_port else DEFAULT_PORT,
        is_port_unsaid=not has_port,
        driver=_DRIVERS.get(scheme.lower().partition("+")[2]),
        password=SecretStr(unescaped(password)) if password else None,
        **{
            "database": unescaped(database) or None,
            "user": unescaped(user) or None,
            **fields(said),
        },
    )


def parse_addresses(text: str) -> tuple[tuple[Address, ...], bool]:
    """Read `h1:5432,[::1]:5433,h3`.

    Returns:
        The addresses, and whether any of them names its port.

    Raises:
        ConfigError: If a port is no port, or an IPv6 address stands without brackets.
    """
    return _addresses([_host_and_port(part) for part in text.split(",") if part])


def _addresses(pairs: list[Pair]) -> tuple[tuple[Address, ...], bool]:
    if any(not host for host, _ in pairs):
        raise wrong("names a port and no host", f"write it as {EXAMPLE}")
    has_port = any(port for _, port in pairs)
    return tuple(Address(host, port or DEFAULT_PORT) for host, port in pairs), has_port


def _cut_login(rest: str) -> tuple[str | None, str]:
    """Cut `user:password` off.

    A pasted password may hold an unescaped @, / or ?, so the cut is at the last @
    before the query, or at the last one where that finds none.
    """
    head = rest.rpartition("?")[0]
    login, at, _ = (head if "@" in head else rest).rpartition("@")
    if not at:
        return None, rest
    user, _, password = login.partition(":")
    if any(mark in user for mark in "/?#") or _PORT_AND_PATH.match(password):
        raise wrong("can be read in two ways", ESCAPES)
    return login, rest[len(login) + 1 :]


def _all_addresses(
    before: str, said: Mapping[str, list[str]]
) -> tuple[tuple[Address, ...], bool]:
    """Join the hosts before the path with `?host=` and `?port=`, which win."""
    pairs = [_host_and_port(part) for part in before.split(",") if part]
    if "host" in said:
        hosts = ",".join(said["host"]).split(",")
        pairs = _paired([_query_host(it) for it in hosts], [port for _, port in pairs])
    if "port" in said:
        hosts = [host for host, _ in pairs] or ["localhost"]
        ports = ",".join(said["port"]).split(",")
        pairs = _paired([(host, None) for host in hosts], [_port(it) for it in ports])
    return _addresses(pairs)


def _paired(hosts: list[Pair], ports: Iterable[int | None]) -> list[Pair]:
    """Give hosts their ports: one for each, or one for all."""
    ports = list(ports) or [None]
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise wrong(
            "names a different number of hosts and ports",
            "give one port, or one for each host",
        )
    return [(host, own or port) for (host, own), port in zip(hosts, ports, strict=True)]


def _query_host(text: str) -> Pair:
    """Read a host of `?host=`: a folder, a name, a bare IPv6 address, or host:port."""
    if text.startswith("/") or (text.count(":") > 1 and not text.startswith("[")):
        return text, None
    return _host_and_port(text)


def _host_and_port(text: str) -> Pair:
    if text.startswith("["):
        match = _IN_BRACKETS.fullmatch(text)
        if match is None:
            hint = f"write it as {EXAMPLE}; an IPv6 address stands in brackets"
            raise wrong("has a malformed host", hint)
        host, port = match[1], match[2]
    else:
        host, _, port = text.partition(":")
    return unescaped(host), _port(port) if port else None


def _port(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,5}", text) and 0 < int(text) < 65536:  # noqa: PLR2004 # TCP's range
        return int(text)
    raise wrong(
        "has a port that is not a number from 1 to 65535",
        f"write it as {EXAMPLE}; {ESCAPES}; an IPv6 address stands in brackets",
    )
