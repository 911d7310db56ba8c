"""Articles between the database and the outside world."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from bookapi.models import Article
from bookapi.schemas import ArticleIn


class SlugTakenError(Exception):
    """Another article has this slug."""


class KeyReusedError(Exception):
    """Another article was stored under this key."""


class ArticleRepository:
    """Articles, in whatever session it is given; it never commits.

    Args:
        session: A reader's will do for what only reads.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def page(self, *, limit: int, before: int | None = None) -> list[Article]:
        """Return articles, the newest first.

        Args:
            limit: How many at most.
            before: Only those older than this one; None begins with the newest.
        """
        query = select(Article).order_by(Article.id.desc()).limit(limit)
        if before is not None:
            query = query.where(Article.id < before)
        return list(await self._session.scalars(query))

    async def create(self, article: ArticleIn, key: UUID) -> Article:
        """Store an article, once for each key however often it is asked for.

        Whoever comes second waits for the first one's COMMIT or ROLLBACK, so this also
        finds out what became of a COMMIT that nobody answered.
        https://www.postgresql.org/docs/current/sql-insert.html#SQL-ON-CONFLICT

        Args:
            article: What to store.
            key: The client's name for this one request.

        Raises:
            SlugTakenError: If another article has the slug.
            KeyReusedError: If the key belongs to another article.
        """
        wanted = article.model_dump()
        made: Article | None = await self._session.scalar(
            insert(Article)
            .values(key=key, **wanted)
            .on_conflict_do_nothing()
            .returning(Article)
        )
        if made is not None:
            return made
        # READ COMMITTED, as the writer is: this statement sees whom that one met.
        earlier: Article | None = await self._session.scalar(
            select(Article).where(Article.key == key)
        )
        if earlier is None:
            raise SlugTakenError
        if any(getattr(earlier, name) != value for name, value in wanted.items()):
            raise KeyReusedError
        return earlier
