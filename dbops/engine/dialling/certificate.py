"""Until when is a server's certificate valid?

Python tells that only of certificates that it has verified, and most are not:
sslmode=require trusts everybody. So the date is read from the certificate itself.
"""

import ssl
from datetime import UTC, datetime

# https://www.rfc-editor.org/rfc/rfc5280#section-4.1
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_LONG_FORM = 0x80
_CENTURY = 50


def expires(tls: ssl.SSLObject) -> datetime | None:
    """Return when the peer's certificate ends; None where that cannot be told."""
    der = tls.getpeercert(binary_form=True)
    return None if der is None else not_after(der)


def not_after(der: bytes) -> datetime | None:
    """Read the end of the validity of an X.509 certificate in DER; None if malformed.

    The fields before it are: version (which may be missing), serial number, signature,
    issuer.
    """
    try:
        at = _inside(der, _inside(der, 0))
        if der[at] == _VERSION:
            at = _after(der, at)
        for _ in ("serial number", "signature", "issuer"):
            at = _after(der, at)
        return _time(der, _after(der, _inside(der, at)))
    except (IndexError, ValueError):
        return None


def _header(der: bytes, at: int) -> tuple[int, int]:
    """Return where the value of an element begins and ends."""
    length, at = der[at + 1], at + 2
    if length & _LONG_FORM:
        size = length ^ _LONG_FORM
        length, at = int.from_bytes(der[at : at + size]), at + size
    return at, at + length


def _inside(der: bytes, at: int) -> int:
    if der[at] != _SEQUENCE:
        raise ValueError("no sequence")
    return _header(der, at)[0]


def _after(der: bytes, at: int) -> int:
    return _header(der, at)[1]


def _time(der: bytes, at: int) -> datetime:
    begin, end = _header(der, at)
    text = der[begin:end].decode("ascii")
    if der[at] == _UTC_TIME:
        text = ("19" if int(text[:2]) >= _CENTURY else "20") + text
    elif der[at] != _GENERALIZED_TIME:
        raise ValueError("no time")
    year, rest = int(text[:4]), text[4:].removesuffix("Z")
    month, day, hour, minute, second = (
        int(rest[place : place + 2]) for place in range(0, 10, 2)
    )
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
