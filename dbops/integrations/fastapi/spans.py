"""Spans that do not tell what a server says of an error."""

from typing import Any

from opentelemetry.trace import Span, Status, Tracer


class Discreet:
    """Starts spans of which only that they failed is told, and not why.

    Args:
        tracer: Starts them.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def start_span(self, *args: Any, **options: Any) -> Span:  # noqa: ANN401 # the tracer's
        """Start a span, as a tracer does."""
        span = self._tracer.start_span(*args, **options)
        told = span.set_status

        def set_status(status: Status, _: str | None = None) -> None:
            told(Status(status.status_code))

        span.set_status = set_status  # type: ignore[method-assign, assignment]
        return span
