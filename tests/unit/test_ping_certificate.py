"""The date in a certificate, read without anybody's help."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from dbops.engine.dialling.certificate import not_after


def certificate(end: dt.datetime, *, issuer: str = "x", is_rsa: bool = False) -> bytes:
    key = (
        rsa.generate_private_key(65537, 2048)
        if is_rsa
        else ec.generate_private_key(ec.SECP256R1())
    )
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, issuer)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - dt.timedelta(days=3))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


@pytest.mark.parametrize("year", [1951, 1999, 2000, 2026, 2049, 2050, 2099, 9999])
def test_every_century_is_read(year: int) -> None:
    end = dt.datetime(year, 12, 31, 23, 59, 58, tzinfo=dt.UTC)
    assert not_after(certificate(end)) == end


@pytest.mark.parametrize("is_rsa", [False, True])
def test_long_names_and_keys_do_not_hide_it(*, is_rsa: bool) -> None:
    end = dt.datetime(2031, 5, 17, 8, 0, 1, tzinfo=dt.UTC)
    for length in (1, 60, 64):
        der = certificate(end, issuer="ü" * length, is_rsa=is_rsa)
        assert not_after(der) == end


def test_what_is_no_certificate_has_no_date() -> None:
    whole = certificate(dt.datetime(2031, 5, 17, tzinfo=dt.UTC))
    assert not_after(b"") is None
    assert not_after(b"-----BEGIN CERTIFICATE-----") is None
    # Cut anywhere before the date, it must not be guessed.
    assert {not_after(whole[:size]) for size in range(60)} == {None}
