"""sslmode does what libpq does, and nothing in the environment can weaken it."""

import asyncio
import os
import ssl
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import psycopg
import pytest

from dbops.credentials import Credentials
from dbops.endpoint import Address, Endpoint, SslMode
from dbops.engine.connect import ConnectOptions, Connector
from dbops.errors import ConfigError, DbopsError, RefusedError, UnreachableError
from dbops.local.state import Pair
from tests.faults.certificates import Signed, signed
from tests.faults.conftest import TlsServer, password
from tests.faults.proxy import (
    Script,
    closing,
    deaf,
    impostor,
    plain_then,
    proxy,
    resetting,
    saying,
    server_error,
    with_certificate,
)

NO_TLS = plain_then(server_error("57P03", "starting"))
MODES: tuple[SslMode, ...] = get_args(SslMode)
# What would lead libpq, and drivers that imitate it, elsewhere.
AMBIENT = {
    "PGHOST": "192.0.2.1",
    "PGHOSTADDR": "192.0.2.1",
    "PGPORT": "1",
    "PGUSER": "somebody",
    "PGDATABASE": "elsewhere",
    "PGPASSWORD": "wrong",
    "PGPASSFILE": "/nowhere",
    "PGSERVICE": "nowhere",
    "PGSERVICEFILE": "/nowhere",
    "PGOPTIONS": "-c default_transaction_read_only=on",
    "PGSSLMODE": "disable",
    "PGSSLCERT": "/nowhere",
    "PGSSLKEY": "/nowhere",
    "PGSSLCRL": "/nowhere",
    "PGSSLMINPROTOCOLVERSION": "TLSv1.9",
    "PGSSLNEGOTIATION": "direct",
    "PGTARGETSESSIONATTRS": "standby",
    "PGGSSLIB": "nonsense",
    "PGKRBSRVNAME": "nobody",
}
WEAK: tuple[SslMode, ...] = ("disable", "allow", "require", "verify-ca")


async def ours(endpoint: Endpoint, limit_s: float = 5) -> str:
    """Tell how dbops connects: `tls`, `plain` or `no`."""
    options = ConnectOptions(connect_timeout_s=limit_s)
    try:
        async with Connector(Credentials.known(endpoint), options).dialled() as dialled:
            in_use = await dialled.connection.fetchval(
                "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            )
            assert in_use == (dialled.tls is not None)
            assert ("tls" in dialled.latency_ms) >= in_use
    except DbopsError:
        return "no"
    return "tls" if in_use else "plain"


async def libpq(endpoint: Endpoint) -> str:
    """Tell the same of libpq itself."""

    def call() -> str:
        address = endpoint.addresses[0]
        try:
            with psycopg.connect(
                "",
                host=address.host,
                port=address.port,
                user=endpoint.user,
                password=password(endpoint),
                dbname=endpoint.database,
                sslmode=endpoint.sslmode,
                gssencmode="disable",
                connect_timeout=5,
                sslrootcert=endpoint.sslrootcert or "/nowhere",
            ) as connection:
                return "tls" if connection.pgconn.ssl_in_use else "plain"
        except psycopg.OperationalError:
            return "no"

    return await asyncio.to_thread(call)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's ~/.postgresql plays a part."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("root", ["authority", "stranger"])
async def test_each_mode_trusts_whom_libpq_trusts(
    tls_server: TlsServer, mode: SslMode, host: str, root: str
) -> None:
    endpoint = tls_server.at(host, sslmode=mode, root=getattr(tls_server, root))
    found = await ours(endpoint)
    if mode == "prefer" and root == "stranger":
        # libpq then goes on without any encryption, which protects nobody.
        assert (found, await libpq(endpoint)) == ("tls", "plain")
    else:
        assert found == await libpq(endpoint)


@pytest.mark.parametrize("mode", MODES[:4])
@pytest.mark.parametrize("user", ["only_tls", "only_plain", "nobody_may"])
async def test_each_mode_goes_on_to_the_other_as_libpq_does(
    tls_server: TlsServer, mode: SslMode, user: str
) -> None:
    endpoint = tls_server.at(sslmode=mode, user=user)
    assert await ours(endpoint) == await libpq(endpoint)


@pytest.mark.parametrize("mode", MODES[:4])
async def test_each_mode_meets_a_server_without_tls_as_libpq_does(
    pair: Pair, mode: SslMode
) -> None:
    endpoint = replace(pair.writer, sslmode=mode)
    assert await ours(endpoint) == await libpq(endpoint)


async def test_the_default_is_prefer(tls_server: TlsServer, pair: Pair) -> None:
    assert await ours(tls_server.at(sslmode=None)) == "tls"
    assert await ours(replace(pair.writer, sslmode=None)) == "plain"


async def test_libpqs_own_file_of_authorities_is_used(
    tls_server: TlsServer, home: Path
) -> None:
    (home / ".postgresql").mkdir()
    own = home / ".postgresql" / "root.crt"
    for root in (tls_server.authority, tls_server.stranger):
        own.write_bytes(root.certificate_file.read_bytes())
        expected = "tls" if root is tls_server.authority else "no"
        for mode in ("require", "verify-ca", "verify-full"):
            assert await ours(tls_server.at(sslmode=mode)) == expected


async def test_a_home_that_nobody_can_look_into_has_no_such_file(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A name that is too long, because root may look everywhere.
    monkeypatch.setenv("HOME", "/" + "x" * 300)
    assert await ours(replace(pair.writer, sslmode=None)) == "plain"


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_without_a_file_the_systems_authorities_decide(
    tls_server: TlsServer, monkeypatch: pytest.MonkeyPatch, mode: SslMode
) -> None:
    endpoint = tls_server.at(sslmode=mode)
    assert await ours(endpoint) == "no"
    authority = str(tls_server.authority.certificate_file)
    monkeypatch.setenv("SSL_CERT_FILE", authority)
    assert await ours(endpoint) == "tls"


async def test_the_systems_authorities_always_mean_verify_full(
    tls_server: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = str(tls_server.authority.certificate_file)
    monkeypatch.setenv("SSL_CERT_FILE", authority)
    modes: tuple[SslMode | None, ...] = ("verify-full", "prefer", None)
    for mode in modes:
        good = replace(tls_server.at(sslmode=mode), sslrootcert="system")
        wrong = replace(tls_server.at("127.0.0.1", sslmode=mode), sslrootcert="system")
        assert (await ours(good), await ours(wrong)) == ("tls", "no")
    for weak in WEAK:
        endpoint = replace(tls_server.at(sslmode=weak), sslrootcert="system")
        with pytest.raises(ConfigError, match="too weak"):
            await Connector(Credentials.known(endpoint))()


async def test_the_environment_changes_nothing(
    tls_server: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = str(tls_server.stranger.certificate_file)
    monkeypatch.setenv("PGSSLROOTCERT", stranger)
    for name, value in AMBIENT.items():
        monkeypatch.setenv(name, value)
    verified = tls_server.at(sslmode="verify-full", root=tls_server.authority)
    assert await ours(verified) == "tls"
    assert await ours(tls_server.at(sslmode="prefer")) == "tls"
    nobody = replace(verified, password=None)
    with pytest.raises(ConfigError, match="refused the credentials"):
        await Connector(Credentials.known(nobody))()


async def test_an_empty_host_is_this_machine_and_not_pghost(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "192.0.2.1")
    port = pair.writer.addresses[0].port
    assert await ours(replace(pair.writer, addresses=(Address("", port),))) == "plain"


async def fault_of(endpoint: Endpoint, limit_s: float = 0.4) -> DbopsError:
    started = time.monotonic()
    options = ConnectOptions(connect_timeout_s=limit_s)
    with pytest.raises(DbopsError) as caught:
        await Connector(Credentials.known(endpoint), options)()
    assert time.monotonic() - started <= limit_s * 1.1 + 0.3
    assert caught.value.message.isprintable()
    return caught.value


def of_tls(error: DbopsError) -> tuple[type[DbopsError], str | None, bool]:
    return type(error), error.phase, error.retryable


UNTRUSTED = (UnreachableError, "tls", False)


async def test_a_certificate_of_another_authority_is_told_as_that(
    tls_server: TlsServer,
) -> None:
    error = await fault_of(tls_server.at(sslmode="verify-ca", root=tls_server.stranger))
    assert of_tls(error) == UNTRUSTED
    assert "is not trusted" in error.message


async def test_a_certificate_for_another_host_is_told_as_that(
    tls_server: TlsServer,
) -> None:
    error = await fault_of(
        tls_server.at("127.0.0.1", sslmode="verify-full", root=tls_server.authority)
    )
    assert of_tls(error) == UNTRUSTED
    assert "127.0.0.1" in error.message


@pytest.mark.parametrize(
    ("kind", "words"), [("expired", "expired"), ("self_signed", "self")]
)
async def test_a_bad_certificate_is_told_as_that(
    certificates: Path, authority: Signed, pair: Pair, kind: str, words: str
) -> None:
    server = signed(
        certificates,
        kind,
        authority=authority if kind == "expired" else None,
        hosts=["127.0.0.1"],
        is_expired=kind == "expired",
    )
    async with impostor(with_certificate(server.context())) as address:
        endpoint = replace(
            pair.writer,
            addresses=(address,),
            sslmode="verify-full",
            sslrootcert=str(authority.certificate_file),
        )
        error = await fault_of(endpoint)
    assert of_tls(error) == UNTRUSTED
    assert words in error.message


async def test_a_server_without_tls_is_told_as_that(pair: Pair) -> None:
    error = await fault_of(replace(pair.writer, sslmode="require"))
    assert of_tls(error) == UNTRUSTED
    assert "does not offer TLS" in error.message


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey"])
@pytest.mark.parametrize("content", [None, b"not a certificate"])
async def test_a_bad_certificate_file_is_a_config_error_that_names_it(
    tls_server: TlsServer, tmp_path: Path, name: str, content: bytes | None
) -> None:
    path = tmp_path / "bad.crt"
    if content is not None:
        path.write_bytes(content)
    endpoint = tls_server.at(sslmode="verify-full", root=tls_server.authority)
    if name == "sslkey":
        good = str(tls_server.authority.certificate_file)
        endpoint = replace(endpoint, sslcert=good, sslkey=str(path))
    elif name == "sslcert":
        endpoint = replace(endpoint, sslcert=str(path))
    else:
        endpoint = replace(endpoint, sslrootcert=str(path))
    error = await fault_of(endpoint)
    assert type(error) is ConfigError
    assert (error.phase, name in error.message) == ("tls", True)
    assert str(path) in error.message
    assert ("cannot be read" in error.message) == (content is None)


async def test_a_rule_of_pg_hba_is_refused_and_told_for_the_mode_preferred(
    tls_server: TlsServer,
) -> None:
    for mode in ("allow", "prefer", "require"):
        error = await fault_of(tls_server.at(sslmode=mode, user="nobody_may"))
        assert type(error) is RefusedError
        assert (error.phase, error.sqlstate) == ("auth", "28000")
        assert "pg_hba.conf" in error.message
        assert ("no encryption" in error.message) == (mode == "allow")


async def test_a_wrong_password_is_not_sent_again_in_plain_text(
    tls_server: TlsServer,
) -> None:
    async with proxy(tls_server.endpoint) as network:
        endpoint = network.before(tls_server.at(sslmode="prefer"))
        error = await fault_of(replace(endpoint, user="nobody_here"), 2)
        assert error.sqlstate == "28P01" or "pg_hba.conf" in error.message
        endpoint = replace(endpoint, password=None)
        error = await fault_of(endpoint, 2)
    assert error.sqlstate == "28P01"
    assert network.connections <= 3


@pytest.mark.parametrize(
    ("script", "goes_on"),
    [
        (NO_TLS, True),
        (saying(server_error("53300", "cannot fork")), False),  # E
        (saying(b"S" + b"not a handshake"), True),
        (closing, False),
        (resetting, False),
        (deaf, False),
    ],
    ids=["no TLS", "an error", "no handshake", "closes", "resets", "is deaf"],
)
async def test_prefer_goes_on_without_tls_only_as_libpq_does(
    pair: Pair, script: Script, *, goes_on: bool
) -> None:
    async with impostor(script) as address:
        behind = replace(pair.writer, addresses=(address,))
        async with proxy(behind) as network:
            endpoint = replace(network.before(behind), sslmode="prefer")
            await fault_of(endpoint)
            tried, network.connections = network.connections, 0
            if script is not deaf:  # there libpq would wait its whole time-out
                assert await libpq(endpoint) == "no"
                # After an N it goes on in the same connection.
                assert network.connections == (1 if script is NO_TLS else tried)
    assert tried == 1 + goes_on


async def test_a_deaf_server_costs_prefer_one_time_out_and_not_two(pair: Pair) -> None:
    async with impostor(deaf) as address:
        endpoint = replace(pair.writer, addresses=(address,), sslmode="prefer")
        error = await fault_of(endpoint)
    assert error.phase == "tls"


@pytest.mark.parametrize("answers", range(6))
async def test_a_server_may_fall_silent_anywhere_in_tls(
    tls_server: TlsServer, answers: int
) -> None:
    async with proxy(tls_server.endpoint, answers=answers) as network:
        for mode in ("prefer", "verify-ca"):
            endpoint = tls_server.at(sslmode=mode, root=tls_server.authority)
            error = await fault_of(network.before(endpoint))
            assert type(error) is UnreachableError
            assert error.phase == "tls" or answers > 1


async def test_a_socket_needs_no_tls(pair: Pair) -> None:
    folder = Address(str(pair.folder / "sockets"), pair.writer.addresses[0].port)
    if not os.access(folder.host, os.X_OK):
        pytest.skip("this account may not look into the socket's folder")
    endpoint = replace(pair.writer, addresses=(folder,), sslmode="verify-full")
    assert await ours(endpoint) == "plain"


def test_contexts_are_at_least_tls_1_2_and_speak_alpn(tls_server: TlsServer) -> None:
    from dbops.engine.dialling.tls import tls_attempts  # a unit among servers

    endpoint = tls_server.at(sslmode="verify-full", root=tls_server.authority)
    (context,) = tls_attempts(endpoint, endpoint.addresses[0])
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
