"""What a server, or a pooler in front of it, said no with.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from typing import NamedTuple

from dbops.endpoint import Endpoint
from dbops.errors import (
    CredentialsError,
    DbopsError,
    FailedError,
    LockedError,
    RefusedError,
    UnreachableError,
)

CONNECTING = frozenset({"resolve", "connect", "tls", "auth"})
"""The phases up to the end of authentication."""


class _Kind(NamedTuple):
    """What a class of SQLSTATEs means."""

    states: tuple[str, ...]
    error: type[DbopsError]
    says: str
    hint: str | None
    is_retryable: bool | None = None


_KINDS = (
    _Kind(
        ("53300",),
        UnreachableError,
        "takes no more connections",
        "close connections (see: dbops pool), or raise the limit of the server, the "
        "database or the role",
    ),
    _Kind(
        ("57P03",),
        UnreachableError,
        "is not ready",
        "it is starting, stopping or recovering; --wait 60s waits for it",
    ),
    _Kind(
        ("57P01", "57P02", "57P04", "57P05", "25P03", "25P04", "08"),
        UnreachableError,
        "ended the connection",
        "the server restarted, failed over, or somebody ended this session",
    ),
    _Kind(
        ("57014",),
        UnreachableError,
        "cancelled the statement",
        "raise statement_timeout, or look for what the statement waits for",
    ),
    _Kind(
        ("55P03", "40P01"),
        LockedError,
        "did not give a lock in time",
        "look for the session that holds it, and try again",
    ),
    _Kind(
        ("40001",),
        FailedError,
        "could not serialize the transaction",
        "try the transaction again",
        is_retryable=True,
    ),
    _Kind(
        ("25006",),
        RefusedError,
        "is read-only",
        "it is a standby, or default_transaction_read_only is on; use the writer",
    ),
    _Kind(
        ("42501",),
        RefusedError,
        "denied permission",
        "use a role that may do this, or grant it",
    ),
    _Kind(
        ("3D000", "55000", "55006", "0A000"),
        RefusedError,
        "refused",
        "see the server's own words above",
    ),
)


def from_server(
    state: str, message: str, endpoint: Endpoint, where: str, phase: str
) -> DbopsError:
    """Return the error for what the server at `where` answered.

    Args:
        state: Its SQLSTATE.
        message: Its sentence, on one line and without a secret.
        endpoint: Whom and which database we asked for.
        where: Its address.
        phase: Which phase was under way.
    """
    if state == "08P01" and phase in CONNECTING:
        return _from_pooler(message, endpoint, where, phase)
    if state in ("28P01", "28000"):
        return _from_authentication(state, message, endpoint, where)
    if state == "3D000" and phase in CONNECTING:
        return _missing_database(state, endpoint, where, phase)
    for kind in _KINDS:
        if state.startswith(kind.states):
            return kind.error(
                f"{where} {kind.says}: {message}",
                hint=kind.hint,
                phase=phase,
                sqlstate=state,
                retryable=kind.is_retryable,
            )
    return FailedError(
        f"{where} answered with an error: {message}", phase=phase, sqlstate=state
    )


def _from_authentication(
    state: str, message: str, endpoint: Endpoint, where: str
) -> DbopsError:
    if "pg_hba.conf" in message:
        return RefusedError(
            f"{where} does not accept this connection: {message}",
            hint="allow it in pg_hba.conf, or use another sslmode, user or address",
            phase="auth",
            sqlstate=state,
        )
    return CredentialsError(
        f"{where} refused the credentials of {endpoint.user!r}: {message}",
        hint="check DB_USER and DB_PASSWORD, the URL, or the secret"
        if endpoint.password
        else "no password is set: give one in DB_PASSWORD, the URL or a secret",
        phase="auth",
        sqlstate=state,
    )


def _from_pooler(
    message: str, endpoint: Endpoint, where: str, phase: str
) -> DbopsError:
    """Read the words of PgBouncer, which has one SQLSTATE for all it refuses.

    https://www.pgbouncer.org/config.html
    """
    state = "08P01"
    if "startup parameter" in message:
        return RefusedError(
            f"the pooler at {where} does not take a session setting: {message}",
            hint="connect directly, with DATABASE_MIGRATION_URL for migrations, or "
            "leave out statement_timeout, lock_timeout and options",
            phase=phase,
            sqlstate=state,
        )
    if "no such database" in message or (
        "database" in message and "does not exist" in message
    ):
        return _missing_database(state, endpoint, where, phase)
    is_ours = "server login failed" not in message
    if is_ours and ("no such user" in message or "authentication failed" in message):
        return _from_authentication(state, message, endpoint, where)
    return UnreachableError(
        f"{where} ended the connection: {message}",
        hint="check the pooler, and the server behind it",
        phase=phase,
        sqlstate=state,
    )


def _missing_database(
    state: str, endpoint: Endpoint, where: str, phase: str
) -> DbopsError:
    return RefusedError(
        f"the database {endpoint.database!r} does not exist on {where}",
        hint="create it with: dbops create-db",
        phase=phase,
        sqlstate=state,
    )
