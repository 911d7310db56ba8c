"""What went wrong on our side of the network, without a word from the server."""

import errno
import socket
import ssl
from collections.abc import Iterator

from dbops.engine.faults.server import CONNECTING
from dbops.engine.one_line import one_line
from dbops.errors import DbopsError, RefusedError, UnreachableError

# Other errors of the system, such as a missing file, are the calling code's own.
_NETWORK = frozenset(
    {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENOTCONN}
)
_PEER = "check that a PostgreSQL server answers there, and what stands in front of it"


class StrangerError(ConnectionError):
    """Whatever answered is no PostgreSQL server."""


def from_client(
    error: BaseException, where: str, *, phase: str, limit_s: float | None
) -> DbopsError | None:
    """Return the error for an exception without an SQLSTATE.

    Returns:
        The error, or None for what neither the network nor the peer is to blame for.
    """
    for cause in _causes(error):
        if isinstance(cause, TimeoutError):
            return _silent(where, phase, limit_s)
        if isinstance(cause, ssl.SSLError):
            return _from_tls(cause, where)
        if isinstance(cause, ConnectionError):
            return _from_connection(cause, where, phase)
        if phase in CONNECTING and isinstance(cause, OSError | ValueError):
            return _from_attempt(cause, where, phase)
        if isinstance(cause, OSError) and cause.errno in _NETWORK:
            return _broken(where, cause.strerror, phase)
    return _from_driver(error, where, phase)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = getattr(error, "orig", None) or error.__cause__


def _silent(where: str, phase: str, limit_s: float | None) -> DbopsError:
    within = f"within {limit_s:g} s" if limit_s is not None else "in time"
    if phase == "resolve":
        return UnreachableError(
            f"the name server did not find {where} {within}",
            hint="check the name server, or use an address",
            phase=phase,
        )
    option = "CONNECT" if phase in CONNECTING else "COMMAND"
    return UnreachableError(
        f"{where} gave no answer {within} ({phase})",
        hint=f"check the network and the server; --timeout and DBOPS_{option}_TIMEOUT "
        "give it longer",
        phase=phase,
    )


def _from_tls(error: ssl.SSLError, where: str) -> DbopsError:
    if isinstance(error, ssl.SSLCertVerificationError):
        said = getattr(error, "verify_message", None) or str(error)
        why = one_line(said).rstrip(".")
        return UnreachableError(
            f"the certificate of {where} is not trusted: {why}",
            hint="name the authority's file with sslrootcert, and connect to the host "
            "name that the certificate holds",
            phase="tls",
            retryable=False,
        )
    # Only OpenSSL's own errors have a reason.
    reason = getattr(error, "reason", None) or error.strerror or "the peer went away"
    return UnreachableError(
        f"TLS with {where} failed: {one_line(reason)}",
        hint=_PEER,
        phase="tls",
    )


def _from_connection(error: ConnectionError, where: str, phase: str) -> DbopsError:
    if isinstance(error, StrangerError):
        return _babble(where, phase)
    if isinstance(error, ConnectionRefusedError) and phase in CONNECTING:
        return _nobody(where)
    # asyncpg's own, about the answer to the request for TLS.
    if "rejected SSL upgrade" in str(error):
        return UnreachableError(
            f"{where} does not offer TLS",
            hint="turn ssl on there, or use sslmode=prefer or disable; " + _PEER,
            phase="tls",
            retryable=False,
        )
    if "error response during SSL" in str(error):
        return UnreachableError(
            f"{where} answered the request for TLS with an error",
            hint="see the server's log",
            phase="tls",
        )
    return _broken(where, error.strerror, phase)


def _from_attempt(error: OSError | ValueError, where: str, phase: str) -> DbopsError:
    if isinstance(error, socket.gaierror):
        is_known = error.errno not in (socket.EAI_NONAME, -5)  # EAI_NODATA on Linux
        return UnreachableError(
            f"the name server has no answer for {where}"
            if is_known
            else f"the host name of {where} is not known",
            hint="check its spelling and the name server",
            phase="resolve",
        )
    if isinstance(error, FileNotFoundError):
        return _nobody(where)
    if isinstance(error, PermissionError):
        return RefusedError(
            f"this user may not connect to {where}",
            hint="check the permissions of the socket and its folder",
            phase="connect",
        )
    if phase == "resolve" and isinstance(error, ValueError):
        # Not even a name that could be asked for: an empty label, or a long one.
        return UnreachableError(
            f"{where} is not a host name",
            hint="check its spelling",
            phase="resolve",
            retryable=False,
        )
    if isinstance(error, ValueError):
        return _babble(where, phase)
    return _broken(where, error.strerror or str(error), phase)


def _nobody(where: str) -> DbopsError:
    return UnreachableError(
        f"nothing listens on {where}",
        hint="check host and port, and that the server runs",
        phase="connect",
    )


def _broken(where: str, why: str | None, phase: str) -> DbopsError:
    return UnreachableError(
        f"the connection to {where} broke: {one_line(why or 'the peer closed it')}",
        hint="check the network and the server",
        phase=phase,
    )


def _babble(where: str, phase: str) -> DbopsError:
    return UnreachableError(
        f"{where} does not answer as a PostgreSQL server does",
        hint=_PEER,
        phase=phase,
    )


def _from_driver(error: BaseException, where: str, phase: str) -> DbopsError | None:
    """Translate what asyncpg and SQLAlchemy say themselves."""
    for cause in _causes(error):
        kind = f"{type(cause).__module__.partition('.')[0]}.{type(cause).__name__}"
        text = str(cause)
        if kind == "sqlalchemy.TimeoutError":
            return UnreachableError(
                "every connection of the pool is in use",
                hint="raise DBOPS_POOL_SIZE or DBOPS_POOL_TIMEOUT, or look for "
                "sessions that are kept too long",
                phase="pool",
            )
        if not kind.startswith("asyncpg."):
            continue
        if phase in CONNECTING and "authentication method" in text.lower():
            return RefusedError(
                f"{where} wants another way to log in: {one_line(text)}",
                hint="use scram-sha-256 in pg_hba.conf for this user",
                phase="auth",
            )
        if kind == "asyncpg.ProtocolError" or phase in CONNECTING:
            return _babble(where, phase)
        # The driver has read the server's last word, and not yet the end after it.
        is_out_of_step = kind == "asyncpg.InternalClientError"
        # The rest of asyncpg's own errors tell of a mistake in the calling code.
        if is_out_of_step or "connection is closed" in text:
            return _broken(where, None, phase)
    # The driver stumbles over what no server would say while it logs somebody in.
    return _babble(where, phase) if phase == "auth" else None
