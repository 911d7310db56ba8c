"""Spans of OpenTelemetry, by its own instrumentation of SQLAlchemy."""

from typing import Any

from dbops.engine.database import Database
from dbops.errors import ConfigError


def trace(database: Database, **options: Any) -> None:  # noqa: ANN401 # the instrumentation's
    """Let each statement of writer and reader be a span.

    Args:
        database: Whose.
        options: Of `SQLAlchemyInstrumentor.instrument`, such as `tracer_provider`.

    Raises:
        ConfigError: If opentelemetry-instrumentation-sqlalchemy is not installed.
    """
    try:
        from opentelemetry.instrumentation.sqlalchemy import (  # noqa: PLC0415 # optional
            SQLAlchemyInstrumentor,
        )
    except ImportError:
        raise ConfigError(
            "opentelemetry-instrumentation-sqlalchemy is not installed",
            hint="python -m pip install 'dbops[opentelemetry]'",
            phase="settings",
        ) from None
    engines = [database.engine("writer").sync_engine]
    if database.settings.has_reader:
        engines.append(database.engine("reader").sync_engine)
    # It knows SQLAlchemy up to 2.0 by name, and would only log that it does nothing.
    options.setdefault("skip_dep_check", True)
    SQLAlchemyInstrumentor().instrument(engines=engines, **options)
