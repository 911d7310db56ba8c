"""What clients hear while something goes wrong."""

import asyncio
import json
import secrets
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from dbops import load_settings
from dbops.engine.connect import Connection
from dbops.integrations.testing import PairDatabase

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
Block = Callable[[], AbstractAsyncContextManager[None]]

BOOK = {"title": "Dune", "author": "Frank Herbert"}
ARTICLE = {"slug": "one", "title": "Title", "text": "Text"}
NOWHERE = "postgresql://a@127.0.0.1:1/b"
LIMIT_S = 20
REGION = "eu-west-1"

WAITING = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'bookapi'
       AND wait_event_type = 'Lock'
"""
BUSY = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'bookapi'
       AND state <> 'idle'
"""
OPEN = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'bookapi'
"""
# Whoever stores an article stops in COMMIT, until nobody holds the lock.
STOP_IN_COMMIT = """
    CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER stop AFTER INSERT ON articles
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stop();
"""
END_WHO_WAITS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not await what():
            await asyncio.sleep(0.01)


async def until_found(admin: Connection, question: str, wanted: int) -> None:
    async def is_found() -> bool:
        return bool(await admin.fetchval(question) == wanted)

    await until(is_found)


async def test_without_its_reader_the_application_is_ready_and_not_healthy(
    serve: Serve, dbops_database: PairDatabase
) -> None:
    async with serve(dbops_database.settings(database_reader_url=NOWHERE)) as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        health = await client.get("/health")
        assert health.status_code == 503
        roles = {it["role"]: it["status"] for it in health.json()["endpoints"]}
        assert roles == {"writer": "ok", "reader": "fail"}

        assert (await client.post("/books", json=BOOK)).status_code == 201
        listed = await client.get("/books")
        assert (listed.status_code, listed.headers["retry-after"]) == (503, "1")
        assert "127.0.0.1" not in listed.text


async def test_the_writer_can_stand_in_for_its_reader(
    serve: Serve, dbops_database: PairDatabase
) -> None:
    settings = dbops_database.settings(
        database_reader_url=NOWHERE, reader_fallback="writer-limited(2)"
    )
    async with serve(settings) as client:
        assert (await client.post("/books", json=BOOK)).status_code == 201
        assert len((await client.get("/books")).json()) == 1
        assert (await client.post("/articles", json=ARTICLE)).status_code == 201
        # With a position to reach, too.
        assert len((await client.get("/articles")).json()["items"]) == 1
        assert (await client.post("/visits")).status_code == 201


async def test_without_its_writer_the_application_lives_and_reads(
    serve: Serve, dbops_database: PairDatabase
) -> None:
    async with serve(dbops_database.settings(database_url=NOWHERE)) as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.post("/books", json=BOOK)).status_code == 503
        assert (await client.get("/books")).status_code == 200


async def test_a_commit_that_fails_is_no_success(
    client: httpx.AsyncClient, admin: Connection
) -> None:
    await admin.execute(
        "ALTER TABLE books ADD UNIQUE (title) DEFERRABLE INITIALLY DEFERRED"
    )
    assert (await client.post("/books", json=BOOK)).status_code == 201
    for _ in range(5):
        assert (await client.post("/books", json=BOOK)).status_code == 500
    assert await admin.fetchval("SELECT count(*) FROM books") == 1


async def test_a_commit_that_nobody_answered_is_cleared_up_by_its_key(
    client: httpx.AsyncClient, admin: Connection
) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    await admin.execute(STOP_IN_COMMIT)
    for headers, code in ((key, 503), ({}, 500)):
        await admin.execute("SELECT pg_advisory_lock(1)")
        asked = asyncio.create_task(
            client.post("/articles", json=ARTICLE, headers=headers)
        )
        await until_found(admin, WAITING, 1)
        await admin.execute(END_WHO_WAITS)
        answer = await asked
        assert answer.status_code == code
        assert "it may be stored, or not" in answer.json()["detail"]
        await admin.execute("SELECT pg_advisory_unlock(1)")

    first = await client.post("/articles", json=ARTICLE, headers=key)
    second = await client.post("/articles", json=ARTICLE, headers=key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert await admin.fetchval("SELECT count(*) FROM articles") == 1


async def test_what_is_stored_is_told_so_though_its_position_is_unknown(
    serve: Serve, dbops_database: PairDatabase, admin: Connection, paused: Block
) -> None:
    name = dbops_database.name
    await admin.execute(f"CREATE USER {name} PASSWORD 'plain'")
    await admin.execute(f"GRANT SELECT, INSERT ON articles TO {name}")
    await admin.execute(
        "REVOKE EXECUTE ON FUNCTION pg_current_wal_flush_lsn FROM PUBLIC"
    )
    writer = replace(dbops_database.writer, user=name, password=SecretStr("plain"))
    try:
        settings = dbops_database.settings(database_url=writer.url(show_password=True))
        async with serve(settings) as client, paused():
            made = await client.post("/articles", json=ARTICLE)
            assert made.status_code == 201
            assert len((await client.get("/articles")).json()["items"]) == 1
    finally:
        await admin.execute(f"DROP OWNED BY {name}")
        await admin.execute(f"DROP USER {name}")


async def test_what_may_pass_is_told_so(
    serve: Serve, dbops_database: PairDatabase, admin: Connection, held: Block
) -> None:
    """A pool that is used up, and a statement that took too long."""
    settings = dbops_database.settings(
        pool_size=1, max_overflow=0, pool_timeout="200ms", statement_timeout="1s"
    )
    async with serve(settings) as client, held():
        asked = asyncio.create_task(client.post("/visits"))
        await until_found(admin, WAITING, 1)
        assert (await client.post("/books", json=BOOK)).status_code == 503
        assert (await asked).status_code == 503


async def test_a_client_that_hangs_up_leaves_nothing_behind(
    client: httpx.AsyncClient, admin: Connection, held: Block
) -> None:
    async with held():
        asked = asyncio.create_task(client.post("/visits"))
        await until_found(admin, WAITING, 1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    await until_found(admin, BUSY, 0)
    # What it had asked for is done.
    assert await admin.fetchval("SELECT count(*) FROM visits") == 1

    async def is_free() -> bool:
        found = (await client.get("/metrics")).text
        return all(
            f'dbops_pool_connections{{role="{role}",state="in_use"}} 0.0' in found
            for role in ("writer", "reader")
        )

    await until(is_free)


async def test_twenty_first_requests_share_their_pools(
    serve: Serve, dbops_database: PairDatabase, admin: Connection, standby: Connection
) -> None:
    settings = dbops_database.settings(pool_size=3, max_overflow=2)
    async with serve(settings) as client:
        answers = await asyncio.gather(
            *(client.post("/visits") for _ in range(20)),
            *(client.get("/books") for _ in range(20)),
        )
        assert {it.status_code for it in answers} == {200, 201}
        assert await admin.fetchval("SELECT count(*) FROM visits") == 20
        for server in (admin, standby):
            assert 0 < await server.fetchval(OPEN) <= 5
    for server in (admin, standby):
        await until_found(server, OPEN, 0)


async def test_a_rotation_under_load_fails_no_request(
    serve: Serve, dbops_database: PairDatabase, admin: Connection
) -> None:
    """The password changes again and again while requests come and go."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    aws = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    manager: Any = await asyncio.to_thread(
        partial(boto3.client, "secretsmanager", region_name=REGION),
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    password, role = secrets.token_hex(8), dbops_database.name

    def says(password: str) -> str:
        return json.dumps({"username": role, "password": password})

    await asyncio.to_thread(
        manager.create_secret, Name=role, SecretString=says(password)
    )
    await admin.execute(f"CREATE USER {role} PASSWORD '{password}'")
    await admin.execute(f"GRANT SELECT, INSERT ON visits, books TO {role}")
    writer = dbops_database.writer.addresses[0]
    reader = dbops_database.reader.addresses[0]
    settings = load_settings(
        flags={
            "db_secret_id": role,
            "aws_endpoint_url": f"http://{host}:{port}",
            "aws_region": REGION,
            **aws,
            "db_host": writer.host,
            "db_port": writer.port,
            "db_reader_host": reader.host,
            "db_reader_port": reader.port,
            "db_name": dbops_database.name,
            # Most requests open a connection of their own.
            "pool_size": 1,
        }
    )
    answered: list[int] = []
    is_over = asyncio.Event()

    async def ask(client: httpx.AsyncClient) -> None:
        while not is_over.is_set():
            answered.append((await client.post("/visits")).status_code)
            answered.append((await client.get("/books")).status_code)

    try:
        async with serve(settings) as client:
            tasks = [asyncio.create_task(ask(client)) for _ in range(6)]
            for _ in range(3):
                before = len(answered)
                password = secrets.token_hex(8)
                await admin.execute(f"ALTER USER {role} PASSWORD '{password}'")
                await asyncio.to_thread(
                    manager.put_secret_value, SecretId=role, SecretString=says(password)
                )

                async def has_gone_on(before: int = before) -> bool:
                    return len(answered) >= before + 30

                await until(has_gone_on)
            is_over.set()
            await asyncio.gather(*tasks)
    finally:
        await admin.execute(f"DROP OWNED BY {role}")
        await admin.execute(f"DROP USER {role}")
        manager.close()
        server.stop()
    assert set(answered) == {200, 201}
    assert len(answered) >= 90
