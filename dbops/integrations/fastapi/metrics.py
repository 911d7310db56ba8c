"""The pools as Prometheus sees them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fastapi import APIRouter, Response
from starlette.requests import Request

from dbops.endpoint import Role
from dbops.engine.database import Database
from dbops.errors import ConfigError
from dbops.integrations.fastapi.lifespan import database_of

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_NAME = "dbops_pool_connections"
_LIMIT = "dbops_pool_limit"
_WAITING = "dbops_pool_waiting"


class PoolCollector:
    """A collector of `prometheus_client`: `REGISTRY.register(PoolCollector(db))`.

    Args:
        database: Whose pools.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> "Iterable[Metric]":
        """Name the metrics without asking for a database."""
        return self._families([])

    def collect(self) -> "Iterable[Metric]":
        """Read the pools of this process; a pool without a limit has none."""
        roles: list[Role] = ["writer"]
        if self._database.settings.has_reader:
            roles.append("reader")
        return self._families(roles)

    def _families(self, roles: Iterable[Role]) -> "Iterable[Metric]":
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 # optional

        held = GaugeMetricFamily(
            _NAME, "Connections of this process.", labels=["role", "state"]
        )
        most = GaugeMetricFamily(_LIMIT, "Connections at most.", labels=["role"])
        waiting = GaugeMetricFamily(
            _WAITING, "Requests that wait for a connection.", labels=["role"]
        )
        for role in roles:
            pool = self._database.pool(role)
            held.add_metric([role, "in_use"], pool.in_use)
            held.add_metric([role, "idle"], pool.idle)
            waiting.add_metric([role], pool.waiting)
            if pool.most is not None:
                most.add_metric([role], pool.most)
        return [held, most, waiting]


def metrics(*, path: str = "/metrics") -> APIRouter:
    """Return a router with the pools' metrics, in the text format of Prometheus.

    An application that has a registry of its own registers `PoolCollector` there.

    Args:
        path: Where they stand.

    Raises:
        ConfigError: If prometheus_client is not installed.
    """
    try:
        import prometheus_client  # noqa: PLC0415 # optional
    except ImportError:
        raise ConfigError(
            "prometheus_client is not installed",
            hint="python -m pip install 'dbops[prometheus]'",
            phase="settings",
        ) from None
    router = APIRouter(tags=["metrics"])

    @router.get(path)
    async def told(request: Request) -> Response:
        registry = prometheus_client.CollectorRegistry()
        registry.register(PoolCollector(database_of(request)))
        return Response(
            prometheus_client.generate_latest(registry),
            media_type=prometheus_client.CONTENT_TYPE_LATEST,
        )

    return router
