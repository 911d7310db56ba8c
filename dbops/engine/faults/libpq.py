"""Why could libpq not connect? It tells in words alone, and gives no SQLSTATE.

The words are the server's own, in English unless its lc_messages says otherwise.
https://www.postgresql.org/docs/current/libpq-status.html
"""

from collections.abc import Iterator

from dbops.engine.one_line import one_line
from dbops.errors import DbopsError, UnreachableError

_DRIVERS = frozenset({"psycopg", "psycopg2"})

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_STATES = (
    ("password authentication failed", "28P01"),
    ("no password supplied", "28P01"),
    ("no pg_hba.conf entry", "28000"),
    ("too many clients", "53300"),
    ("too many connections", "53300"),
    ("remaining connection slots", "53300"),
    ("the database system is", "57P03"),
    ("permission denied for database", "42501"),
    ("is not currently accepting connections", "55000"),
    # Others name a role or a database too, and so these come last.
    ('role "', "28000"),
    ('database "', "3D000"),
)


def libpq_words(error: BaseException | None) -> str | None:
    """Return what libpq says about a connection; None for any other error."""
    for cause in _causes(error):
        driver = type(cause).__module__.partition(".")[0]
        if driver not in _DRIVERS or type(cause).__name__ != "OperationalError":
            continue
        words = str(cause)
        is_stated = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
        return words if "connection" in words and not is_stated else None
    return None


def libpq_state(words: str) -> tuple[str, str] | None:
    """Return the SQLSTATE of what a server said at log-in, and its sentence."""
    _, fatal, said = words.rpartition("FATAL:")
    if not fatal:
        return None
    for part, state in _STATES:
        if part in said:
            return state, said.strip().splitlines()[0]
    return None


def libpq_failure(words: str, where: str) -> DbopsError:
    """Return the error for a server that libpq had no answer from."""
    why = words.strip().splitlines()[0].rpartition("failed: ")[2]
    return UnreachableError(
        f"the connection to {where} failed: {one_line(why)}",
        hint="check host and port, the network, and that the server runs",
        phase="connect",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = getattr(error, "orig", None) or error.__cause__
