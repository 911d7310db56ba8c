"""One driver connection to one address, bounded and timed phase by phase."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from pydantic import SecretStr

from dbops.endpoint import Address
from dbops.engine.dialling.driver import BoundedConnection
from dbops.engine.dialling.phases import Phases, TimedLoop
from dbops.engine.faults.client import StrangerError

# asyncpg's own words for whatever is no agreement to TLS.
_NO_TLS = "rejected SSL upgrade"
_KEPT_STATEMENTS = 100


@dataclass(frozen=True, slots=True)
class Call:
    """Everything that one connection takes."""

    address: Address
    user: str | None
    database: str | None
    password: SecretStr | None
    attempts: Sequence[ssl.SSLContext | None]
    """What `tls_attempts` says: contexts to try in turn, None for plain text."""
    timeout_s: float
    """For all attempts together, up to the end of authentication."""
    command_timeout_s: float | None
    """For each later statement; None for no limit."""
    server_settings: Mapping[str, str]
    """Run-time parameters for the session."""
    keeps_statements: bool
    """Whether prepared statements have names, and outlive their first use."""
    phases: Phases = field(default_factory=Phases)
    """Where the time that each phase takes is added up."""


async def dial(call: Call) -> BoundedConnection:
    """Connect, trying TLS and plain text in the order of `call.attempts`.

    Raises:
        Exception: Whatever the driver or the socket raises, untranslated.
    """
    first: Exception | None = None
    async with asyncio.timeout(call.timeout_s):
        for number, context in enumerate(call.attempts, start=1):
            is_tls = context is not None
            loop = TimedLoop(call.phases, tls=is_tls, timeout_s=call.timeout_s)
            try:
                connection = await _dial(call, context, loop)
            except Exception as error:
                if loop.is_stranger:
                    raise StrangerError from None
                if first is not None and _says_less(error, first):
                    raise first from None
                is_last = number == len(call.attempts)
                if is_last or not _other_mode_may_help(error, context, loop):
                    raise
                first = error
            else:
                call.phases.enter("query")
                loop.stop_timing()
                return connection
    raise AssertionError  # tls_attempts is never empty


async def _dial(
    call: Call, context: ssl.SSLContext | None, loop: TimedLoop
) -> BoundedConnection:
    # Whatever is left out here, the driver takes from PGHOST, PGPORT, PGPASSWORD,
    # PGSSLMODE and the like; a bare port 0 counts as left out.
    return await asyncpg.connect(
        host=call.address.host or "localhost",
        port=[call.address.port],
        user=call.user,
        database=call.database,
        password=call.password.get_secret_value() if call.password else "",
        loop=cast("asyncio.AbstractEventLoop", loop),  # it quacks like one
        timeout=call.timeout_s,
        command_timeout=call.command_timeout_s,
        statement_cache_size=_KEPT_STATEMENTS if call.keeps_statements else 0,
        connection_class=BoundedConnection,
        ssl=context or False,
        direct_tls=False,
        target_session_attrs=SessionAttribute.any,
        krbsrvname="postgres",
        gsslib="gssapi",
        server_settings=dict(call.server_settings),
    )


def _other_mode_may_help(
    error: Exception, context: ssl.SSLContext | None, loop: TimedLoop
) -> bool:
    """Tell whether sslmode=prefer (or allow) goes on to the other mode, as libpq does.

    It does after a server that has no TLS, a failed handshake, and a rule of
    pg_hba.conf; libpq also after a wrong password, which would count twice and then
    travel without encryption.
    """
    if _is_rejected_by_rule(error):
        return True
    if context is None or isinstance(error, ConnectionRefusedError):
        return False
    if isinstance(error, ssl.SSLError):
        return True
    return isinstance(error, ConnectionError) and (
        loop.is_shaking_hands or _NO_TLS in str(error)
    )


def _says_less(error: Exception, first: Exception) -> bool:
    """Tell whether the second mode failed only because it is not allowed either."""
    has_no_tls = isinstance(error, ConnectionError) and _NO_TLS in str(error)
    return _is_rejected_by_rule(first) and (has_no_tls or _is_rejected_by_rule(error))


def _is_rejected_by_rule(error: Exception) -> bool:
    # The file's name stands in the message in every language.
    is_authorization = isinstance(error, asyncpg.InvalidAuthorizationSpecificationError)
    return is_authorization and "pg_hba.conf" in str(error)
