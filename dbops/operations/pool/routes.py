"""On which server do PgBouncer's connections land?"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dbops.endpoint import Address
from dbops.operations.pool.engines import Role
from dbops.operations.pool.pgbouncer import Told
from dbops.operations.pool.pooler import PgBouncer, Route
from dbops.operations.pool.term import Term

_HERE = ("localhost", "127.0.0.1", "::1")
_WHY = "what PgBouncer opens at most"


class Place(NamedTuple):
    """Where a role's connections go."""

    address: Address
    """Which server, or which pooler, has answered."""
    database: str
    """What it was asked for."""


def said(told: Told, roles: Iterable[Role]) -> dict[Role, Term]:
    """Return what a pooler opens of which only the numbers are known.

    It stands before every server, with a pool of that size for each.
    """
    processes, size = told.processes or 1, told.pool_size or 0
    term = Term(
        name="pgbouncer",
        connections=processes * size,
        how=f"{processes} * {size}",
        why=f"{_WHY}: processes * pool_size, as it was said",
    )
    return dict.fromkeys(roles, term)


def shown(pooler: PgBouncer, places: Mapping[Role, Place]) -> dict[Role, Term]:
    """Return what a pooler opens on each server that it leads to."""
    servers = {role: _servers(pooler, place) for role, place in places.items()}
    landing: dict[Role, list[Route]] = {}
    for route in pooler.routes:
        role = _role(_server(route), servers, pooler)
        if role is not None:
            landing.setdefault(role, []).append(route)
    if not pooler.routes:
        landing["writer"] = []
    return {role: _term(pooler, routes) for role, routes in landing.items()}


def _role(
    server: str, servers: Mapping[Role, set[str]], pooler: PgBouncer
) -> Role | None:
    """Return whose server it is; the writer's, where names leave that open."""
    writer, reader = servers["writer"], servers.get("reader", set())
    if server in writer:
        return "writer"
    if server in reader:
        return "reader"
    is_writer_seen = any(_server(route) in writer for route in pooler.routes)
    return None if is_writer_seen else "writer"


def _servers(pooler: PgBouncer, place: Place) -> set[str]:
    """Return the servers behind a place: behind the pooler, where that is meant."""
    itself = _named(place.address.host, place.address.port)
    if itself != _named(pooler.host, pooler.port):
        return {itself}
    return {_server(it) for it in pooler.routes if it.name == place.database}


def _server(route: Route) -> str:
    return _named(route.host or "localhost", route.port)


def _named(host: str, port: int) -> str:
    is_here = host.lower() in _HERE or host.startswith("/")
    return f"{'localhost' if is_here else host.lower()}:{port}"


def _term(pooler: PgBouncer, routes: list[Route]) -> Term:
    """Add up what may be opened on one server, within the limits of users."""
    most = sum(it.most for it in routes) if routes else pooler.default_most
    hows = [_how(it) for it in routes] or [str(most)]
    how = " + ".join(hows)
    if pooler.max_user_connections is not None and routes:
        users = len({it.user for it in pooler.pools}) or 1
        if pooler.max_user_connections * users < most:
            most = pooler.max_user_connections * users
            how = f"min({how}, {users} * {pooler.max_user_connections})"
    if pooler.processes > 1:
        how = f"{pooler.processes} * ({how})"
    return Term(
        name="pgbouncer",
        connections=pooler.processes * most,
        how=how,
        why=f"{_WHY}: users * (pool_size + reserve) of "
        + (", ".join(it.name for it in routes) or "a database that is yet to come"),
    )


def _how(route: Route) -> str:
    how = f"{route.users} * ({route.pool_size} + {route.reserve})"
    limit = route.max_connections
    return how if limit is None or route.most < limit else f"min({how}, {limit})"
