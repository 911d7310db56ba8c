"""What a client hears when nobody knows whether its request was stored."""

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.requests import Request

from dbops.errors import CommitUnknownError


def answer_unknown(app: FastAPI) -> None:
    """Tell clients whose COMMIT nobody answered what they can do."""
    app.add_exception_handler(CommitUnknownError, _answered)


async def _answered(request: Request, error: Exception) -> JSONResponse:
    del error
    if "Idempotency-Key" not in request.headers:
        detail = "it may be stored, or not: look before sending it again"
        return JSONResponse({"detail": detail}, status_code=500)
    # Sent again, it finds out what became of the first one.
    detail = "it may be stored, or not: send it again with the same Idempotency-Key"
    return JSONResponse(
        {"detail": detail}, status_code=503, headers={"Retry-After": "1"}
    )
