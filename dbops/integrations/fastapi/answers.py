"""What a client hears of an error of the database."""

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.requests import Request

from dbops.errors import DbopsError

_LATER_S = "1"


def answer_errors(app: FastAPI) -> None:
    """Answer errors of dbops with 503 where the same request may succeed later.

    Any other is a 500. The body tells neither hosts nor statements.
    """
    app.add_exception_handler(DbopsError, _answered)


async def _answered(request: Request, error: Exception) -> JSONResponse:
    del request
    if isinstance(error, DbopsError) and error.retryable:
        return JSONResponse(
            {"detail": "the database cannot be used at the moment"},
            status_code=503,
            headers={"Retry-After": _LATER_S},
        )
    return JSONResponse({"detail": "Internal Server Error"}, status_code=500)
