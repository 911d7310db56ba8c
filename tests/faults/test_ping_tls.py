"""How a connection is encrypted, and for how long its certificate is valid."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connectors, connect
from dbops.errors import Outcome
from dbops.operations.doctor import Diagnosis
from dbops.operations.ping import Ping, PingedEndpoint, ping
from dbops.results import Status
from dbops.settings import load_settings
from tests.faults.certificates import signed
from tests.faults.conftest import TlsServer
from tests.server.doctored import diagnosed


async def asked(endpoint: Endpoint) -> Ping:
    connectors = Connectors(load_settings())
    return await ping({"writer": connectors.connector_to(endpoint)})


async def examined(endpoint: Endpoint, **limits: str) -> Diagnosis:
    urls = {"database_url": endpoint.url(show_password=True)}
    return await diagnosed(Connectors(load_settings(flags=urls)), "D06", **limits)


@asynccontextmanager
async def certified(server: TlsServer, days: int) -> AsyncGenerator[None]:
    """Give the server a certificate of so many days for the block."""
    try:
        await certify(server, days)
        yield
    finally:
        await certify(server, 1)


async def certify(server: TlsServer, days: int) -> None:
    signed(
        server.folder,
        "server",
        authority=server.authority,
        hosts=["localhost"],
        days=days,
    )
    admin = await connect(server.endpoint)
    await admin.execute("SELECT pg_reload_conf()")
    await admin.close()
    async with asyncio.timeout(10):
        while round(days_left(await asked(server.at(sslmode="require")))) != days:
            await asyncio.sleep(0.02)


def days_left(result: Ping) -> float:
    tls = result.endpoints[0].tls
    assert tls is not None
    assert tls.certificate_days_left is not None
    return tls.certificate_days_left


@pytest.mark.parametrize(
    ("days", "status"),
    [(-1, Status.FAIL), (6, Status.FAIL), (20, Status.WARN), (90, Status.OK)],
)
async def test_a_certificate_that_ends_is_told_in_time(
    tls_server: TlsServer, days: int, status: Status
) -> None:
    there = tls_server.at(sslmode="require")
    async with certified(tls_server, days):
        result, found = await asked(there), await examined(there)
        patient = await examined(there, warn_left="5d", fail_left="2d")
    (writer,) = result.endpoints
    assert (result.status, found.status) == (status, status)
    assert result.outcome is (
        Outcome.UNHEALTHY if status is Status.FAIL else Outcome.OK
    )
    assert writer.tls is not None
    assert (writer.tls.version or "").startswith("TLSv1.")
    assert ("certificate" in result.summary) == (status is not Status.OK)
    assert bool(found.findings) == (status is not Status.OK)
    assert patient.status is (Status.FAIL if days < 0 else Status.OK)
    left = {it.name: it.value for it in result.measures()}["ping_certificate_left"]
    assert left is not None
    assert round(left / 86400) == days


async def test_a_verified_certificate_is_read_the_same_way(
    tls_server: TlsServer,
) -> None:
    trusted = tls_server.at(sslmode="verify-full", root=tls_server.authority)
    loose = await asked(tls_server.at(sslmode="require"))
    assert round(days_left(await asked(trusted)), 1) == round(days_left(loose), 1)
    assert "not verified" not in " ".join((await examined(trusted)).notes)
    assert "not verified" in " ".join(
        (await examined(tls_server.at(sslmode="require"))).notes
    )


async def test_plain_text_is_told_as_that(tls_server: TlsServer) -> None:
    plain = await asked(tls_server.at(sslmode="disable"))
    endpoint: PingedEndpoint = plain.endpoints[0]
    assert plain.status is Status.OK
    assert endpoint.tls is not None
    assert (endpoint.tls.in_use, endpoint.tls.version) == (False, None)
    assert endpoint.latency_ms is not None
    assert endpoint.latency_ms.tls is None
    encrypted = (await asked(tls_server.at(sslmode="require"))).endpoints[0]
    assert encrypted.latency_ms is not None
    assert encrypted.latency_ms.tls
