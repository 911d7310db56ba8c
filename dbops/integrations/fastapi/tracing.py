"""Spans of OpenTelemetry, by its own instrumentation of SQLAlchemy."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from dbops.engine.database import Database
from dbops.errors import ConfigError

_USAGE = "db.client.connections.usage"


def trace(
    database: Database,
    *,
    tracer_provider: Any = None,  # noqa: ANN401 # optional
    meter_provider: Any = None,  # noqa: ANN401 # same
    **options: Any,  # noqa: ANN401 # the instrumentation's
) -> None:
    """Let each statement of writer and readers be a span, without its parameters.

    A statement that fails tells only that it failed: what the server says of it quotes
    values, such as `Key (email)=(…) already exists`.

    Args:
        database: Whose; each is traced by itself.
        tracer_provider: Of the spans; None takes the global one.
        meter_provider: Of the connections in use; None takes the global one.
        options: Of the instrumentation's `EngineTracer`, such as `enable_commenter`.

    Raises:
        ConfigError: If opentelemetry-instrumentation-sqlalchemy is not installed.
    """
    try:
        # Not its `SQLAlchemyInstrumentor`: that one serves once in a process, and
        # traces everybody else's engines too.
        from opentelemetry.instrumentation.sqlalchemy.engine import (  # noqa: PLC0415 # optional
            EngineTracer,
        )
        from opentelemetry.metrics import get_meter  # noqa: PLC0415 # same
        from opentelemetry.trace import get_tracer  # noqa: PLC0415 # same

        from dbops.integrations.fastapi.spans import Discreet  # noqa: PLC0415 # same
    except ImportError:
        raise ConfigError(
            "opentelemetry-instrumentation-sqlalchemy is not installed",
            hint="python -m pip install 'dbops[opentelemetry]'",
            phase="settings",
        ) from None
    tracer = Discreet(get_tracer(__name__, tracer_provider=tracer_provider))
    meter = get_meter(__name__, meter_provider=meter_provider)
    usage = meter.create_up_down_counter(_USAGE, unit="connections")

    def traced(engine: AsyncEngine) -> None:
        EngineTracer(tracer, engine.sync_engine, usage, **options)  # type: ignore[no-untyped-call] # its own

    database.each_engine(traced)
