"""A server with TLS and rules of its own, and a stage of users and databases."""

import secrets
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from dbops.endpoint import Address, Endpoint, SslMode
from dbops.engine.connect import connect
from dbops.local.account import find_programs
from dbops.local.folders import cache_home
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from tests.conftest import missing, new_name
from tests.faults.certificates import Signed, signed

DEBIAN = Path("/usr/lib/postgresql/15/bin")
HBA = """
local   all        all                             trust
hostssl all        only_tls    127.0.0.1/32        scram-sha-256
hostnossl all      only_plain  127.0.0.1/32        scram-sha-256
host    all        nobody_may  127.0.0.1/32        reject
host    all        dbops       127.0.0.1/32        scram-sha-256
"""


@dataclass(frozen=True)
class TlsServer:
    """A server that offers TLS, with a certificate for `localhost` alone."""

    endpoint: Endpoint
    authority: Signed
    stranger: Signed
    """An authority that has signed nothing here."""
    folder: Path

    def at(
        self,
        host: str = "localhost",
        *,
        sslmode: SslMode | None = None,
        root: Signed | None = None,
        user: str = "dbops",
    ) -> Endpoint:
        """Return how to connect."""
        return replace(
            self.endpoint,
            addresses=(Address(host, self.endpoint.addresses[0].port),),
            sslmode=sslmode,
            sslrootcert=str(root.certificate_file) if root else None,
            user=user,
        )


@pytest.fixture(scope="session")
def certificates() -> Generator[Path]:
    """A folder that the server's account may look into."""
    folder = Path(tempfile.mkdtemp(prefix="dbops-tls-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def authority(certificates: Path) -> Signed:
    """The authority that tests trust."""
    return signed(certificates, "authority")


@pytest.fixture(scope="session")
async def tls_server(
    certificates: Path, authority: Signed
) -> AsyncGenerator[TlsServer]:
    """Debian's server, because the embedded one is built without TLS."""
    if not (DEBIAN / "postgres").exists():
        missing("Debian's PostgreSQL 15")
    server = signed(certificates, "server", authority=authority, hosts=["localhost"])
    (certificates / "hba.conf").write_text(HBA)
    programs = await find_programs(cache_home(None), DEBIAN)
    programs.account.give(server.key_file)
    settings = {
        "ssl": "on",
        "ssl_cert_file": str(server.certificate_file),
        "ssl_key_file": str(server.key_file),
        "hba_file": str(certificates / "hba.conf"),
    }
    async with throwaway(pg_bin=DEBIAN, settings=settings, standby=False) as pair:
        endpoint = pair.writer
        admin = await connect(endpoint)
        for user in ("only_tls", "only_plain", "nobody_may"):
            await admin.execute(f"CREATE USER {user} PASSWORD '{password(endpoint)}'")
        await admin.close()
        yield TlsServer(
            endpoint, authority, signed(certificates, "stranger"), certificates
        )


def password(endpoint: Endpoint) -> str:
    """Reveal a password."""
    assert endpoint.password is not None
    return endpoint.password.get_secret_value()


@dataclass(frozen=True)
class Stage:
    """Users and databases of the session's writer that each cannot be had."""

    server: Endpoint
    secret: str
    name: str
    """What all names begin with."""

    def user(self, kind: str, database: str = "postgres") -> Endpoint:
        """Return how to connect as one of the users."""
        return replace(
            self.server,
            user=f"{self.name}_{kind}",
            password=SecretStr(self.secret),
            database=database,
        )

    def database(self, kind: str) -> Endpoint:
        """Return how the ordinary user connects to one of the databases."""
        return self.user("plain", f"{self.name}_{kind}")


@pytest.fixture(scope="session")
async def stage(pair: Pair) -> AsyncGenerator[Stage]:
    """Make the users and databases, and drop them."""
    stage = Stage(pair.writer, secrets.token_urlsafe(12), new_name("stage"))
    users = {
        "plain": "LOGIN",
        "nologin": "NOLOGIN",
        "limited": "LOGIN CONNECTION LIMIT 0",
    }
    databases = {
        "closed": "ALLOW_CONNECTIONS false",
        "crowded": "CONNECTION LIMIT 0",
        "private": "",
    }
    admin = await connect(pair.writer)
    for kind, options in users.items():
        await admin.execute(
            f"CREATE ROLE \"{stage.name}_{kind}\" {options} PASSWORD '{stage.secret}'"
        )
    for kind, options in databases.items():
        await admin.execute(f'CREATE DATABASE "{stage.name}_{kind}" {options}')
    await admin.execute(
        f'REVOKE CONNECT ON DATABASE "{stage.name}_private" FROM PUBLIC'
    )
    yield stage
    for kind in databases:
        await admin.execute(f'DROP DATABASE "{stage.name}_{kind}" WITH (FORCE)')
    for kind in users:
        await admin.execute(f'DROP ROLE "{stage.name}_{kind}"')
    await admin.close()
