"""What drivers and sockets raise, translated into the errors of dbops.

Nothing else reads an SQLSTATE to decide what kind of failure it is; what the server
said is judged in `server`, what happened without it in `client`.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager

from dbops.endpoint import Endpoint
from dbops.engine.faults.client import from_client
from dbops.engine.faults.libpq import libpq_failure, libpq_state, libpq_words
from dbops.engine.faults.server import from_server
from dbops.engine.one_line import one_line
from dbops.errors import DbopsError

INVALID_PASSWORD = frozenset({"28P01", "28000"})
"""States in which a rotated secret may help."""

TRY_NEXT_HOST = frozenset({"57P03", "08003", "08006"})
"""States in which dbops goes on to the next host of a URL: not ready, or closed.

libpq does so too, and stays with a server that has said no.
"""

# The driver's own for a connection that broke; the server's reason is below it.
_BROKEN = frozenset({"08003", "08006"})


def sqlstates(error: BaseException) -> Iterator[str]:
    """Walk an exception and its causes, yielding every SQLSTATE on the way.

    SQLAlchemy wraps the driver's error, and the driver wraps the server's. What was
    only being handled when `error` was raised (its context) is not its cause.
    """
    return (_state(speaker) for speaker in _speakers(error))


def sqlstate(error: BaseException) -> str | None:
    """Return the outermost SQLSTATE of an exception, or None."""
    return next(sqlstates(error), None)


def server_message(error: BaseException) -> str:
    """Return the server's own sentence, without the driver's decorations."""
    speaker = next(_speakers(error), error)
    # asyncpg's name for it, and that of psycopg and psycopg2.
    primary = getattr(getattr(speaker, "diag", None), "message_primary", None)
    message = getattr(speaker, "message", primary)
    return message if isinstance(message, str) else str(error)


@contextmanager
def translated(endpoint: Endpoint, *, phase: str = "query") -> Generator[None]:
    """Translate what driver calls inside the block raise.

    Raises:
        DbopsError: Instead of the driver's, SQLAlchemy's and the socket's exceptions.
    """
    try:
        yield
    except DbopsError:
        raise
    except Exception as error:
        fault = translate(error, endpoint, phase=phase)
        if fault is None:
            raise
        raise fault from error


def translate(
    error: BaseException,
    endpoint: Endpoint,
    *,
    phase: str,
    limit_s: float | None = None,
) -> DbopsError | None:
    """Return the error of dbops for `error`; None if it is nobody's but ours.

    Args:
        error: What was raised.
        endpoint: Where to; its password is cut out of the message.
        phase: Which phase was under way.
        limit_s: How long that could take, or None where nobody said.
    """
    if isinstance(error, DbopsError):
        return error
    where = one_line(", ".join(str(address) for address in endpoint.addresses))
    speakers = list(_speakers(error))
    words = None if speakers else libpq_words(error)
    if words is not None:
        words = _without_secret(words, endpoint)
        said = libpq_state(words)
        if said is None:
            return libpq_failure(words, where)
        return from_server(said[0], one_line(said[1]), endpoint, where, "auth")
    if not speakers or _is_callers_own(speakers[-1]):
        return from_client(error, where, phase=phase, limit_s=limit_s)
    reasons = [speaker for speaker in speakers if _state(speaker) not in _BROKEN]
    reason = (reasons or speakers)[0]
    message = one_line(_without_secret(server_message(reason), endpoint))
    return from_server(_state(reason), message, endpoint, where, phase)


def _speakers(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions that carry an SQLSTATE, outermost first."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        current = todo.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        if _state(current):
            yield current
        todo += [getattr(current, "orig", None), current.__cause__]


def _state(error: BaseException) -> str:
    # DbopsError has one too, which may be None; pgcode is psycopg2's name for it.
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return state if isinstance(state, str) else ""


def _is_callers_own(error: BaseException) -> bool:
    """Tell whether the driver refused an argument before any server saw it.

    Its message holds the argument.
    """
    is_driver = type(error).__module__.partition(".")[0] == "asyncpg"
    is_said = getattr(error, "severity", None) is not None
    return is_driver and not is_said and not _state(error).startswith("08")


def _without_secret(message: str, endpoint: Endpoint) -> str:
    secret = endpoint.password.get_secret_value() if endpoint.password else ""
    return message.replace(secret, "***") if secret else message
