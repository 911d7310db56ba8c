"""What a client hears of an error of the database."""

import logging

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request

from dbops.endpoint import Endpoint
from dbops.engine.faults.translate import translate
from dbops.errors import DbopsError

_LATER_S = "1"
_log = logging.getLogger(__name__)


def answer_errors(app: FastAPI) -> None:
    """Answer errors of the database with 503 where the same request may succeed later.

    So it is where a server is away or full, a connection broke before COMMIT, a
    statement took too long, a lock or a serialization failed, or no connection of the
    pool was returned in time. The body tells neither hosts nor statements; a warning is
    logged. Any other error goes on to whoever handles it, and is a 500 in the end. An
    application that is mounted answers for itself: call this with it, too.
    """
    app.add_exception_handler(DbopsError, _answered)
    app.add_exception_handler(SQLAlchemyError, _answered)


async def _answered(request: Request, error: Exception) -> JSONResponse:
    # Only what kind of failure it is matters, not where.
    fault = translate(error, Endpoint(), phase="query")
    if fault is None or not fault.retryable:
        raise error
    _log.warning("%s %r: %s", request.method, request.url.path, fault.message)
    return JSONResponse(
        {"detail": "the database cannot be used at the moment"},
        status_code=503,
        headers={"Retry-After": _LATER_S},
    )
