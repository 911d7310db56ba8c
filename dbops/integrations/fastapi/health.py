"""Is the application alive, is it ready, and are both servers well?"""

from typing import Any, Literal

from fastapi import APIRouter, Response

from dbops.integrations.fastapi.lifespan import AppDatabase
from dbops.integrations.fastapi.pinged import Probes
from dbops.operations.ping import Ping
from dbops.results import Model, Status

_UNAVAILABLE = 503
_ALLOWED = "GET, HEAD, OPTIONS"


class Alive(Model):
    """The process answers."""

    status: Literal["ok"] = "ok"
    """Always; whoever is not alive says nothing."""


def health(*, prefix: str = "") -> APIRouter:
    """Return a router for probes.

    - `/livez` never touches the database: a database that is away is no reason to
      restart an application.
    - `/readyz` depends on the writer alone.
    - `/health` tells of writer and reader what `dbops ping` tells; GET, HEAD, OPTIONS.

    200 stands for ok and warn, 503 for anything else. The two that ask take 2 s at
    most, and share an answer with who asks at the same time.

    Args:
        prefix: Where they stand, such as `/internal`.
    """
    router, probes = APIRouter(prefix=prefix, tags=["health"]), Probes()

    async def alive() -> Alive:
        return Alive()

    async def ready(database: AppDatabase, response: Response) -> Ping:
        return _answered(await probes.pinged(database, readers=False), response)

    async def healthy(database: AppDatabase, response: Response) -> Ping:
        return _answered(await probes.pinged(database), response)

    bad: dict[int | str, dict[str, Any]] = {_UNAVAILABLE: {"model": Ping}}
    for path, answer, others in (
        ("/livez", alive, None),
        ("/readyz", ready, bad),
        ("/health", healthy, bad),
    ):
        router.add_api_route(path, answer, methods=["GET"], responses=others)
        # In the schema, a route of two methods would be two of one name.
        router.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)
    router.add_api_route(
        "/health",
        _options,
        methods=["OPTIONS"],
        status_code=204,
        include_in_schema=False,
    )
    return router


async def _options(response: Response) -> None:
    response.headers["Allow"] = _ALLOWED


def _answered(answer: Ping, response: Response) -> Ping:
    if answer.status not in (Status.OK, Status.WARN):
        response.status_code = _UNAVAILABLE
    return answer
