"""A writer and its reader for a FastAPI application.

Example:
    from dbops import Database, load_settings
    from dbops.integrations.fastapi import Context, Reader, health, lifespan

    app = FastAPI(lifespan=lifespan(lambda: Database(load_settings())))
    app.include_router(health())

    @app.get("/articles")
    async def listed(reader: Reader) -> list[ArticleOut]:
        return list(await reader.scalars(select(Article)))

    @app.post("/articles", status_code=201)
    async def created(article: ArticleIn, context: Context) -> ArticleOut:
        context.writer.add(made := Article(**article.model_dump()))
        await context.writer.flush()
        return made
"""

from dbops.integrations.fastapi.answers import answer_errors
from dbops.integrations.fastapi.health import health
from dbops.integrations.fastapi.lifespan import (
    AppDatabase,
    database_of,
    lifespan,
)
from dbops.integrations.fastapi.metrics import PoolCollector, metrics
from dbops.integrations.fastapi.own_writes import (
    OwnReader,
    provide_own_reader,
    remember,
)
from dbops.integrations.fastapi.sessions import (
    Context,
    Reader,
    Writer,
    provide_context,
    provide_reader,
    provide_writer,
)
from dbops.integrations.fastapi.setup import prepared
from dbops.integrations.fastapi.tracing import trace

__all__ = [
    "AppDatabase",
    "Context",
    "OwnReader",
    "PoolCollector",
    "Reader",
    "Writer",
    "answer_errors",
    "database_of",
    "health",
    "lifespan",
    "metrics",
    "prepared",
    "provide_context",
    "provide_own_reader",
    "provide_reader",
    "provide_writer",
    "remember",
    "trace",
]
