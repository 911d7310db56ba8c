"""The application.

Serve it with `uvicorn --factory bookapi.main:create_app`.
"""

from fastapi import FastAPI

from bookapi import articles, books, visits
from bookapi.settings import AppSettings
from bookapi.unknown import answer_unknown
from dbops import Database, Settings, load_settings
from dbops.integrations.fastapi import answer_errors, health, lifespan, metrics
from dbops.local.place import local_pair


def create_app(
    settings: AppSettings | None = None, database: Settings | None = None
) -> FastAPI:
    """Make the application; nothing connects before its first request.

    Args:
        settings: Its own; None reads the environment.
        database: Where the database is; None reads what dbops' commands read.

    Raises:
        ConfigError: If the database's settings are malformed.
    """
    place = database or load_settings(local_pair=local_pair)
    if "application_name" not in place.sources:
        place = place.named("bookapi")
    app = FastAPI(title="bookapi", lifespan=lifespan(lambda: Database(place)))
    app.state.settings = settings or AppSettings()
    for module in (books, articles, visits):
        app.include_router(module.router)
    app.include_router(health())
    app.include_router(metrics())
    answer_errors(app)
    answer_unknown(app)
    return app
