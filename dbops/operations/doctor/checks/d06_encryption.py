"""Is the connection encrypted, and for how long is the certificate valid?

Whoever connects from this machine with these settings has the same connection.
"""

import ipaddress
from datetime import UTC, datetime

from dbops.engine.dialling.certificate import expires
from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import Found, Limits, ServerCheck
from dbops.operations.doctor.servers import Server

_DAY_S = 86400.0
# https://www.postgresql.org/docs/current/ssl-tcp.html
_ENCRYPT = "set sslmode=verify-full, and ssl = on on the server"
_RENEW = (
    "put a renewed certificate in the place of ssl_cert_file, then: "
    "SELECT pg_reload_conf()"
)


async def find(server: Server, limits: Limits) -> Found:
    """Look at our own socket: what a view says may be about a pooler's."""
    dialled = server.questions.dialled
    if dialled.tls is None:
        return _of_plain_text(server)
    notes: tuple[str, ...] = ()
    if dialled.endpoint.sslmode not in ("verify-ca", "verify-full"):
        notes = ("the certificate is not verified: sslmode=verify-full would do so",)
    version, end = dialled.tls.version(), expires(dialled.tls)
    if end is None:
        unreadable = "until when the certificate is valid cannot be read"
        return Found(f"{version}", notes=(*notes, unreadable))
    left_s = (end - datetime.now(UTC)).total_seconds()
    told = f"{version}, the certificate is valid until {end:%Y-%m-%d %H:%M} UTC"
    severity = _severity(left_s, limits)
    if severity is None:
        return Found(told, notes=notes)
    days = left_s / _DAY_S
    ends = (
        f"expires in {days:.3g} days" if days > 0 else f"expired {-days:.3g} days ago"
    )
    finding = Finding(
        object=str(dialled.address),
        message=f"the server's certificate {ends}, on {end:%Y-%m-%d %H:%M} UTC",
        remedy=_RENEW,
        severity=severity,
    )
    return Found(told, (finding,), notes)


def _severity(left_s: float, limits: Limits) -> Severity | None:
    """Judge what is left: here, less is worse."""
    if left_s < (limits["fail_left"].warn or 0):
        return Severity.FAIL
    return Severity.WARN if left_s < (limits["warn_left"].warn or 0) else None


def _of_plain_text(server: Server) -> Found:
    address = server.questions.address
    if _is_local(server):
        return Found(f"plain text, to this machine ({address.host})")
    finding = Finding(
        object=str(address),
        message=f"the connection to the {server.role} is in plain text: passwords' "
        "proofs and all data can be read and changed on the way",
        remedy=_ENCRYPT,
    )
    return Found("plain text, over a network", (finding,))


def _is_local(server: Server) -> bool:
    """Tell whether nothing leaves this machine."""
    transport = server.questions.dialled.connection._transport  # type: ignore[attr-defined] # noqa: SLF001 # asyncpg shows it nowhere else
    peer, us = (transport.get_extra_info(it) for it in ("peername", "sockname"))
    if not isinstance(peer, tuple) or not isinstance(us, tuple):
        return True  # a Unix socket's name is a text
    return peer[0] == us[0] or ipaddress.ip_address(peer[0]).is_loopback


CHECK = ServerCheck(
    id="D06",
    title="encryption",
    question="Is the connection encrypted, and for how long is the certificate valid?",
    on="each",
    find=find,
    limits={
        "warn_left": Limit(30 * _DAY_S, None, "s"),
        "fail_left": Limit(7 * _DAY_S, None, "s"),
    },
)
