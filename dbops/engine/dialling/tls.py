"""sslmode, as libpq means it, in one place.

https://www.postgresql.org/docs/current/libpq-ssl.html
"""

import os
import ssl
from pathlib import Path

from dbops.endpoint import Address, Endpoint, SslMode
from dbops.errors import ConfigError

NO_FILE = f"{os.devnull}/none"
"""The name of no file; an empty one stands for libpq's own in the home folder."""


def tls_attempts(  # noqa: PLR0911 # one return a mode
    endpoint: Endpoint, address: Address
) -> list[ssl.SSLContext | None]:
    """Return what to try in turn: a context, or None for no encryption.

    Contexts are always ours, so that PGSSLMODE and its kin cannot weaken what the
    settings say.

    Raises:
        ConfigError: If a certificate file is missing or malformed, or sslmode is too
            weak for sslrootcert=system.
    """
    if address.host.startswith("/"):
        return [None]
    root = _root(endpoint)
    match _mode(endpoint):
        case "disable":
            return [None]
        case "allow":
            return [None, _context(endpoint, None)]
        case "prefer":
            return [_context(endpoint, None), None]
        case "require":
            # As libpq: authorities that are at hand are used.
            return [_context(endpoint, root)]
        case "verify-ca":
            return [_context(endpoint, root or "system")]
        case "verify-full":
            return [_context(endpoint, root or "system", check_hostname=True)]


def libpq_tls(endpoint: Endpoint) -> dict[str, str]:
    """Return the same in libpq's own parameters, each of them, so that none is open.

    Which authorities the machine itself trusts, Python knows; the OpenSSL inside
    psycopg's wheels may look for them elsewhere.
    """
    mode, root = _mode(endpoint), _root(endpoint)
    if mode.startswith("verify") and root in (None, "system"):
        root = ssl.get_default_verify_paths().cafile or "system"
    if mode in ("allow", "prefer"):
        root = None
    return {
        "sslmode": mode,
        "sslrootcert": root or NO_FILE,
        "sslcert": endpoint.sslcert or NO_FILE,
        "sslkey": endpoint.sslkey or NO_FILE,
        "gssencmode": "disable",
    }


def _mode(endpoint: Endpoint) -> SslMode:
    """Return sslmode; with the system's authorities nothing less than verify-full.

    Anybody can have a certificate of theirs, so libpq refuses the weaker modes. Here
    `prefer` is also what a URL means that says nothing.
    """
    mode = endpoint.sslmode or "prefer"
    if endpoint.sslrootcert != "system" or mode == "verify-full":
        return mode
    if mode == "prefer":
        return "verify-full"
    raise ConfigError(
        f"sslmode={mode} is too weak for sslrootcert=system",
        hint="use sslmode=verify-full, or name the authority's file",
        phase="tls",
    )


def _root(endpoint: Endpoint) -> str | None:
    """Return the authorities that were named, or libpq's file where that exists."""
    return endpoint.sslrootcert or own_authorities()


def own_authorities() -> str | None:
    """Return the file of libpq that names whom this user trusts, if there is one."""
    try:
        own = Path("~/.postgresql/root.crt").expanduser()
        return str(own) if own.is_file() else None
    except (OSError, RuntimeError):
        # A container's user may have no home, or root's, which it may not look into.
        return None


def _context(
    endpoint: Endpoint, root: str | None, *, check_hostname: bool = False
) -> ssl.SSLContext:
    """Make a context that trusts `root` alone; None trusts everybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check_hostname
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["postgresql"])
    if root is None:
        context.verify_mode = ssl.CERT_NONE
    elif root == "system":
        context.load_default_certs()
    else:
        _trust(context, root)
    if endpoint.sslcert:
        _identify(context, endpoint.sslcert, endpoint.sslkey)
    return context


def _trust(context: ssl.SSLContext, root: str) -> None:
    try:
        context.load_verify_locations(cafile=root)
    except OSError as error:
        raise _unusable("sslrootcert", root, error) from error


def _identify(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    try:
        # Without a password here OpenSSL would ask the terminal for one.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        # OpenSSL does not say which of the two it is.
        both = f"{certificate}, {key}" if key else certificate
        raise _unusable("sslcert or sslkey", both, error) from error


def _unusable(name: str, path: str, error: OSError) -> ConfigError:
    # An SSLError is an OSError as well: the file is there and is not what it should be.
    is_malformed = isinstance(error, ssl.SSLError)
    why = "is malformed" if is_malformed else f"cannot be read: {error.strerror}"
    return ConfigError(
        f"the TLS certificate file of {name} {why} ({path})",
        hint="check sslrootcert, sslcert and sslkey; sslrootcert=system uses the "
        "system's own authorities",
        phase="tls",
    )
