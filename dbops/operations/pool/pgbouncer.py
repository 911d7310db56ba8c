"""What does `--pgbouncer` say: how many connections, or whom to ask?"""

import re
from dataclasses import dataclass, replace

from dbops.endpoint import Address, Endpoint, parse_url
from dbops.errors import ConfigError, DbopsError, UsageError
from dbops.settings import Settings

_VALUE = re.compile(
    r"(?:([1-9][0-9]{0,4})x)?(?:([1-9][0-9]{0,5})|(.*://.*))", re.DOTALL
)
_CONSOLE = "pgbouncer"
_PORT = 6432
_EXAMPLES = (
    "write what it opens at most, as 20 or 2x20 for two processes, or the URL of its "
    "admin console, as postgresql://user@host:6432/pgbouncer"
)


@dataclass(frozen=True)
class Told:
    """What was said about PgBouncer."""

    processes: int | None
    """How many there are; None where nobody said."""
    pool_size: int | None = None
    """What each opens on the server at most; None where the console is asked."""
    console: Endpoint | None = None
    """The admin console; None where nobody is asked."""
    is_password_shown: bool = False
    """Whether a password stood on the command line."""


def told(settings: Settings) -> Told | None:
    """Read what was said; None where nothing was.

    Raises:
        UsageError: If the option has no such form; no message holds it.
        ConfigError: If the setting has none, from wherever it is.
    """
    if settings.pgbouncer is None:
        return None
    match = _VALUE.fullmatch(settings.pgbouncer.get_secret_value().strip())
    if match is None:
        raise _wrong(settings, "is neither a number of connections nor a URL")
    processes = int(match[1]) if match[1] else None
    if match[2]:
        return Told(processes, pool_size=int(match[2]))
    own, console = _console(settings, match[3])
    is_shown = _is_flag(settings) and own.password is not None
    return Told(processes, console=console, is_password_shown=is_shown)


def shows_password(settings: Settings) -> bool:
    """Whether a password stood on the command line, where everybody can read it.

    Raises:
        UsageError: As `told`.
        ConfigError: As `told`.
    """
    said = told(settings)
    return said is not None and said.is_password_shown


def _console(settings: Settings, url: str) -> tuple[Endpoint, Endpoint]:
    """Return what the URL says, and that with what it lacks."""
    try:
        own = parse_url(url)
    except ConfigError as error:
        why = error.message.removeprefix("the connection URL ")
        raise _wrong(settings, why, error.hint) from None
    if not own.addresses:
        raise _wrong(settings, "names no host")
    if own.database != _CONSOLE:
        raise _wrong(settings, "leads to a database, and not to the admin console")
    if own.is_port_unsaid:
        places = tuple(Address(it.host, _PORT) for it in own.addresses)
        own = replace(own, addresses=places, is_port_unsaid=False)
    console = replace(
        own,
        user=own.user or settings.db_user,
        password=own.password or settings.db_password,
    )
    return own, console


def _wrong(settings: Settings, why: str, hint: str | None = None) -> DbopsError:
    if _is_flag(settings):
        return UsageError(f"--pgbouncer {why}", hint=hint or _EXAMPLES)
    name = settings.said("pgbouncer")
    return ConfigError(f"{name} {why}", hint=hint or _EXAMPLES, phase="settings")


def _is_flag(settings: Settings) -> bool:
    return settings.sources.get("pgbouncer") == "flag"
