"""Articles over HTTP: created once, listed in pages, one's own at once."""

from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Header, HTTPException, Query, Response

from bookapi.repository import ArticleRepository, KeyReusedError, SlugTakenError
from bookapi.schemas import ArticleIn, ArticleOut, Page
from bookapi.settings import OwnSettings
from dbops.integrations.fastapi import AppDatabase, OwnReader, remember

router = APIRouter(prefix="/articles", tags=["articles"])

Before = Annotated[int | None, Query(ge=1, lt=1 << 63)]
Limit = Annotated[int | None, Query(ge=1)]
Key = Annotated[UUID | None, Header(alias="Idempotency-Key")]


@router.get("")
async def listed(
    reader: OwnReader,
    settings: OwnSettings,
    limit: Limit = None,
    before: Before = None,
) -> Page[ArticleOut]:
    """List articles, the newest first."""
    limit = min(limit or settings.page_size, settings.longest_page)
    # One more than is shown tells whether there is another page.
    found = await ArticleRepository(reader).page(limit=limit + 1, before=before)
    items = [ArticleOut.model_validate(it) for it in found[:limit]]
    return Page(items=items, next=items[-1].id if len(found) > limit else None)


@router.post("", status_code=201)
async def created(
    article: ArticleIn,
    database: AppDatabase,
    settings: OwnSettings,
    response: Response,
    key: Key = None,
) -> ArticleOut:
    """Store an article; send it again with the same key as often as you like.

    The session is opened here, because the position is taken after the commit.
    """
    try:
        async with database.writer() as session:
            made = await ArticleRepository(session).create(article, key or uuid4())
            await session.commit()
    except SlugTakenError:
        raise HTTPException(409, "another article has this slug") from None
    except KeyReusedError:
        raise HTTPException(422, "this key was used for another article") from None
    await remember(response, database, for_s=settings.remember_s)
    return ArticleOut.model_validate(made)
