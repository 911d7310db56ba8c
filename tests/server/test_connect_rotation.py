"""A password that was rotated is fetched again, once, by whoever notices first."""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from dbops.credentials import Credentials, SecretStore
from dbops.endpoint import Driver
from dbops.engine.connect import Connection, ConnectOptions, Connector, connect
from dbops.errors import CredentialsError, DbopsError, UnreachableError
from dbops.local.state import Pair
from dbops.settings import Access, Aws, SecretRef
from tests.conftest import both_drivers, new_name


@pytest.fixture(scope="module")
def aws() -> Generator[Aws]:
    """A Secrets Manager that speaks HTTP."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Aws(
        region="eu-west-1",
        endpoint_url=f"http://{host}:{port}",
        profile=None,
        access_key_id="test",
        secret_access_key=SecretStr("test"),
        session_token=None,
    )
    server.stop()


@dataclass
class Rotating:
    """A user whose password is in a secret, and can be changed in both places."""

    user: str
    secret_id: str
    admin: Connection
    manager: Any
    store: SecretStore
    connector: Connector
    access: Access

    def anew(self) -> Connector:
        """Return a connector that has not read the secret yet."""
        credentials = Credentials(self.access, SecretStore(self.access.aws))
        return Connector(credentials, self.connector.options)

    async def change_on_server(self, password: str) -> None:
        await self.admin.execute(f"ALTER USER {self.user} PASSWORD '{password}'")

    async def change_in_secret(self, password: str, user: str | None = None) -> None:
        says = json.dumps({"username": user or self.user, "password": password})
        await asyncio.to_thread(
            self.manager.put_secret_value, SecretId=self.secret_id, SecretString=says
        )


@pytest.fixture
async def rotating(pair: Pair, aws: Aws, driver: Driver) -> AsyncGenerator[Rotating]:
    user, old = new_name("rotating"), secrets.token_hex(8)
    manager = await asyncio.to_thread(
        boto3.client,
        "secretsmanager",
        endpoint_url=aws.endpoint_url,
        region_name=aws.region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    await asyncio.to_thread(
        manager.create_secret,
        Name=user,
        SecretString=json.dumps({"username": user, "password": old}),
    )
    admin = await connect(pair.writer)
    await admin.execute(f"CREATE USER {user} PASSWORD '{old}'")
    place = replace(pair.writer, user=None, password=None)
    store = SecretStore(aws)
    access = Access("writer", (SecretRef(user), place), (), "password", aws)
    connector = Connector(Credentials(access, store), ConnectOptions(driver=driver))
    yield Rotating(user, user, admin, manager, store, connector, access)
    await admin.execute(f"DROP USER {user}")
    await admin.close()
    manager.close()


async def who(connector: Connector) -> str:
    async with connector.session() as connection:
        name: str = await connection.fetchval("SELECT current_user")
        return name


async def test_the_secret_is_read_once_for_many_connections(rotating: Rotating) -> None:
    for _ in range(3):
        assert await who(rotating.connector) == rotating.user
    assert rotating.store.fetches == 1


@both_drivers
async def test_a_rotated_password_is_fetched_again_once(rotating: Rotating) -> None:
    await who(rotating.connector)
    await rotating.change_on_server("new")
    await rotating.change_in_secret("new")
    assert await who(rotating.connector) == rotating.user
    assert await who(rotating.connector) == rotating.user
    assert rotating.store.fetches == 2


async def test_ten_connections_at_once_share_one_fetch(rotating: Rotating) -> None:
    await who(rotating.connector)
    await rotating.change_on_server("new")
    await rotating.change_in_secret("new")
    found = await asyncio.gather(*(who(rotating.connector) for _ in range(10)))
    assert found == [rotating.user] * 10
    assert rotating.store.fetches == 2


@both_drivers
async def test_another_user_comes_with_another_password(rotating: Rotating) -> None:
    await who(rotating.connector)
    other = f"{rotating.user}_clone"
    await rotating.admin.execute(f"CREATE USER {other} PASSWORD 'other'")
    await rotating.change_on_server("gone")
    await rotating.change_in_secret("other", user=other)
    assert await who(rotating.connector) == other
    await rotating.admin.execute(f"DROP USER {other}")


async def test_a_secret_that_stays_old_is_refused(rotating: Rotating) -> None:
    await who(rotating.connector)
    await rotating.change_on_server("the secret does not know")
    with pytest.raises(CredentialsError) as caught:
        await who(rotating.connector)
    # Once more, about once a second while a rotation may be under way, and the secret
    # before this one.
    assert 3 <= rotating.store.fetches <= 6
    assert (caught.value.phase, caught.value.sqlstate) == ("auth", "28P01")


async def test_ten_refused_connections_do_not_storm_the_secret_store(
    rotating: Rotating,
) -> None:
    await who(rotating.connector)
    await rotating.change_on_server("the secret does not know")
    ended = await asyncio.gather(
        *(who(rotating.connector) for _ in range(10)), return_exceptions=True
    )
    assert {type(end) for end in ended} == {CredentialsError}
    assert rotating.store.fetches <= 6


@both_drivers
async def test_no_other_error_fetches_the_secret_again(rotating: Rotating) -> None:
    await who(rotating.connector)
    await rotating.admin.execute(f"ALTER USER {rotating.user} CONNECTION LIMIT 0")
    with pytest.raises(UnreachableError):
        await who(rotating.connector)
    assert rotating.store.fetches == 1


async def test_open_connections_survive_a_rotation(rotating: Rotating) -> None:
    async with rotating.connector.session() as connection:
        await rotating.change_on_server("new")
        await rotating.change_in_secret("new")
        assert await connection.fetchval("SELECT current_user") == rotating.user


async def test_a_secret_that_is_a_moment_behind_the_server_is_waited_for(
    rotating: Rotating,
) -> None:
    await who(rotating.connector)
    await rotating.change_on_server("new")
    waiting = [asyncio.create_task(who(rotating.connector)) for _ in range(5)]
    await asyncio.sleep(0.3)
    await rotating.change_in_secret("new")
    assert await asyncio.gather(*waiting) == [rotating.user] * 5


async def test_the_secret_before_this_one_serves_where_its_user_is_another(
    rotating: Rotating,
) -> None:
    # As a reader that has not replayed yet that there is a new user.
    await who(rotating.connector)
    await rotating.change_in_secret("to come", user=f"{rotating.user}_clone")
    assert await who(rotating.anew()) == rotating.user


@both_drivers
async def test_a_rotation_under_load_fails_no_request(
    rotating: Rotating, pair: Pair
) -> None:
    """The password changes again and again while sessions come and go."""
    served = dict.fromkeys(("ok", "failed"), 0)
    is_over = asyncio.Event()

    async def serve() -> None:
        while not is_over.is_set():
            try:
                await who(rotating.connector)
                served["ok"] += 1
            except DbopsError:
                served["failed"] += 1

    tasks = [asyncio.create_task(serve()) for _ in range(6)]
    for number in range(3):
        await asyncio.sleep(0.3)
        await rotating.change_on_server(f"new {number}")
        await rotating.change_in_secret(f"new {number}")
    await asyncio.sleep(0.5)
    is_over.set()
    await asyncio.gather(*tasks)
    assert served["failed"] == 0, served
    assert served["ok"] >= 6
    assert rotating.store.fetches <= 1 + 2 * 3
