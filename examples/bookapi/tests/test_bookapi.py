"""Books, articles and visits, through real HTTP, on a real writer and standby."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx

from dbops.engine.connect import Connection

Block = Callable[[], AbstractAsyncContextManager[None]]

BOOK = {"title": "Dune", "author": "Frank Herbert"}
LIMIT_S = 20


def article(slug: str = "one", **changed: str) -> dict[str, str]:
    return {"slug": slug, "title": "Title", "text": "Text", **changed}


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not await what():
            await asyncio.sleep(0.01)


def stranger(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Return another client, which has written nothing."""
    return httpx.AsyncClient(base_url=client.base_url, timeout=LIMIT_S)


async def slugs(client: httpx.AsyncClient) -> list[str]:
    answer = await client.get("/articles")
    assert answer.status_code == 200
    return [it["slug"] for it in answer.json()["items"]]


async def test_a_book_is_created_by_the_writer_and_listed_by_the_reader(
    client: httpx.AsyncClient, admin: Connection, paused: Block
) -> None:
    async with paused():
        made = await client.post("/books", json=BOOK)
        assert made.status_code == 201
        number = made.json()["id"]
        assert await admin.fetchval("SELECT title FROM books") == "Dune"
        # The reader knows nothing of it yet.
        assert (await client.get("/books")).json() == []
        assert (await client.get(f"/books/{number}")).status_code == 404

    async def is_replayed() -> bool:
        return bool((await client.get("/books")).json())

    await until(is_replayed)
    assert (await client.get(f"/books/{number}")).json() == made.json()


async def test_who_wrote_an_article_sees_it_at_once(
    client: httpx.AsyncClient, paused: Block
) -> None:
    async with stranger(client) as other, paused():
        assert (await client.post("/articles", json=article())).status_code == 201
        assert await slugs(client) == ["one"]
        assert await slugs(other) == []

    for number in range(5):
        made = await client.post("/articles", json=article(f"number-{number}"))
        assert made.status_code == 201
        assert f"number-{number}" in await slugs(client)


async def test_a_list_comes_in_pages(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await client.post("/articles", json=article(f"number-{number}"))
    found: list[str] = []
    question: dict[str, Any] = {"limit": 2}
    for _ in range(3):
        page = (await client.get("/articles", params=question)).json()
        found += [it["slug"] for it in page["items"]]
        question["before"] = page["next"]
    assert found == [f"number-{it}" for it in (4, 3, 2, 1, 0)]
    assert question["before"] is None


async def test_what_cannot_be_is_the_clients_mistake(
    client: httpx.AsyncClient,
) -> None:
    for question in ("limit=0", "limit=x", "before=0", f"before={1 << 63}"):
        assert (await client.get(f"/articles?{question}")).status_code == 422
    for wrong in (article("Not A Slug"), article(text="\0"), {"slug": "one"}):
        assert (await client.post("/articles", json=wrong)).status_code == 422
    assert (await client.get(f"/books/{1 << 63}")).status_code == 422
    nobody = {"Idempotency-Key": "me"}
    answer = await client.post("/articles", json=article(), headers=nobody)
    assert answer.status_code == 422


async def test_an_article_is_stored_once_for_each_key(
    client: httpx.AsyncClient, admin: Connection
) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    answers = await asyncio.gather(
        *(client.post("/articles", json=article(), headers=key) for _ in range(12))
    )
    assert {it.status_code for it in answers} == {201}
    assert len({it.json()["id"] for it in answers}) == 1
    assert await admin.fetchval("SELECT count(*) FROM articles") == 1

    other = await client.post("/articles", json=article(text="…"), headers=key)
    assert other.status_code == 422
    again = await client.post("/articles", json=article())
    assert again.status_code == 409
    assert await admin.fetchval("SELECT count(*) FROM articles") == 1


async def test_visits_are_counted(client: httpx.AsyncClient, admin: Connection) -> None:
    for _ in range(3):
        assert (await client.post("/visits")).status_code == 201
    assert await admin.fetchval("SELECT count(*) FROM visits") == 3

    async def is_replayed() -> bool:
        return bool((await client.get("/visits")).json() == {"count": 3})

    await until(is_replayed)
    # Its own visit is not yet in the snapshot of the one who makes it.
    assert (await client.post("/visits")).json() == {"count": 3}
