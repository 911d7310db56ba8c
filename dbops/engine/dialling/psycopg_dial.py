"""One connection of psycopg to one address, with the parameters of dbops alone.

libpq says in words alone why it could not connect. Where those are not understood, as
they may be in the server's language, the other driver asks once more, and hears codes.
"""

import asyncio
import re
import socket
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import pq

from dbops.endpoint import Endpoint
from dbops.engine.dialling.dial import Call
from dbops.engine.dialling.dial import dial as dial_otherwise
from dbops.engine.dialling.driver import close
from dbops.engine.dialling.phases import KEEPALIVE, USER_TIMEOUT_MS
from dbops.engine.dialling.psycopg_connection import BoundedPsycopg
from dbops.engine.dialling.tls import NO_FILE, libpq_tls
from dbops.engine.faults.libpq import libpq_state
from dbops.errors import ConfigError
from dbops.threads import in_daemon_thread

# psycopg's own: a statement that is used this often in a row gets a name.
_USES_BEFORE_KEPT = 5
_SPACE = re.compile(r"([\\\s])")
# asyncpg takes these from the environment too, where nothing else names them.
_LEFT_OPEN = frozenset({b"user", b"dbname"})


async def dial(call: Call, endpoint: Endpoint) -> BoundedPsycopg:
    """Connect; libpq goes through the modes of TLS by itself.

    Args:
        call: What it takes.
        endpoint: How to speak TLS.

    Raises:
        Exception: Whatever a driver or the socket raises, untranslated.
    """
    async with asyncio.timeout(call.timeout_s):
        parameters = {
            **_against_environment(),
            **_parameters(call),
            **libpq_tls(endpoint),
        }
        places = await _places(call)
        call.phases.enter("connect")
        try:
            connection = await _first_that_answers(call, parameters, places)
        except psycopg.OperationalError as error:
            if libpq_state(str(error)) is None:
                await close(await dial_otherwise(call))
            raise
    call.phases.enter("query")
    connection.command_limit_s = call.command_timeout_s
    return connection


async def _first_that_answers(
    call: Call, parameters: Mapping[str, Any], places: list[str | None]
) -> BoundedPsycopg:
    """Connect to the first place that answers; a silent one cannot use up all."""
    limit_s = call.timeout_s / (len(places) + 1)
    for number, place in enumerate(places, start=1):
        is_last = number == len(places)
        try:
            async with asyncio.timeout(None if is_last else limit_s):
                return await BoundedPsycopg.connect(
                    **{**parameters, "hostaddr": place or ""},
                    autocommit=True,
                    prepare_threshold=_USES_BEFORE_KEPT
                    if call.keeps_statements
                    else None,
                )
        except (psycopg.OperationalError, TimeoutError) as error:
            if is_last or libpq_state(str(error)) is not None:
                raise
    raise OSError("the name has no address")


async def _places(call: Call) -> list[str | None]:
    """Look up the name; None where there is none to look up."""
    host, port = call.address.host or "localhost", call.address.port
    if call.address.is_socket:
        return [None]
    found = await in_daemon_thread(
        lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    return [str(sockaddr[0]) for *_, sockaddr in found]


def _parameters(call: Call) -> dict[str, str]:
    """Write a call as libpq's parameters.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    """
    settings = dict(call.server_settings)
    name, options = settings.pop("application_name"), settings.pop("options", "")
    said = [f"-c {key}=" + _SPACE.sub(r"\\\1", it) for key, it in settings.items()]
    secret = call.password
    return {
        "host": call.address.host or "localhost",
        "port": str(call.address.port),
        **({"user": call.user} if call.user else {}),
        **({"dbname": call.database} if call.database else {}),
        "password": secret.get_secret_value() if secret else "",
        "passfile": NO_FILE,
        "application_name": name,
        # As in a start-up message: what is named there wins over the options.
        "options": " ".join([*filter(None, [options]), *said]),
        "client_encoding": "utf8",
        "keepalives": "1",
        "keepalives_idle": str(KEEPALIVE["TCP_KEEPIDLE"]),
        "keepalives_interval": str(KEEPALIVE["TCP_KEEPINTVL"]),
        "keepalives_count": str(KEEPALIVE["TCP_KEEPCNT"]),
        "tcp_user_timeout": str(USER_TIMEOUT_MS),
    }


def _against_environment() -> dict[str, str]:
    """Return libpq's own values for what PGSSLMODE and its kin say otherwise.

    Raises:
        ConfigError: If PGSERVICE is set, from which nothing keeps libpq.
    """
    said = {
        option.keyword: option.compiled or b""
        for option in pq.Conninfo.get_defaults()
        if option.envvar and option.val not in (None, option.compiled)
    }
    if b"service" in said:
        raise ConfigError(
            "PGSERVICE is set, and psycopg would follow it",
            hint="unset it; DATABASE_URL says where the database is",
            phase="settings",
        )
    return {
        key.decode(): its.decode() for key, its in said.items() if key not in _LEFT_OPEN
    }
