"""Where do the pools of the settings lead, among the servers that have answered?"""

from collections.abc import Mapping

from dbops.engine.read_only import ReadOnly
from dbops.operations.pool.budget import Side
from dbops.operations.pool.engines import Role, engines
from dbops.operations.pool.layout import Layout
from dbops.operations.pool.pgbouncer import told
from dbops.operations.pool.pooler import PgBouncer
from dbops.operations.pool.routes import Place, said, shown
from dbops.operations.pool.server import ServerConnections
from dbops.operations.pool.term import Term
from dbops.settings import Settings


def laid_out(
    settings: Settings,
    servers: Mapping[Role, ServerConnections],
    places: Mapping[Role, Place],
    *,
    pooler: PgBouncer | None,
) -> Layout:
    """Lay out where the pools of the settings lead.

    Args:
        settings: The pools, and what is said about PgBouncer.
        servers: The writer, and the reader where it answers.
        places: Where each of them was reached.
        pooler: What PgBouncer's console has answered.

    Raises:
        UsageError: As `told`.
        ConfigError: As `told`.
    """
    is_one = _is_one_server(servers)
    apart = {role: it for role, it in servers.items() if role == "writer" or not is_one}
    usable: dict[Side, int] = {role: it.usable for role, it in apart.items()}
    poolers = _poolers(settings, {role: places[role] for role in apart}, pooler)
    if pooler is not None and poolers:
        usable["pgbouncer"] = pooler.processes * pooler.max_client_conn
    return Layout(engines(settings), usable, poolers, is_one_server=is_one)


def place(questions: ReadOnly) -> Place:
    """Return where a server was reached."""
    return Place(questions.address, questions.dialled.endpoint.database or "")


def _is_one_server(servers: Mapping[Role, ServerConnections]) -> bool:
    """Tell whether the reader's endpoint leads to the writer, as Aurora's may."""
    reader = servers.get("reader")
    return reader is not None and reader.started_at == servers["writer"].started_at


def _poolers(
    settings: Settings, places: Mapping[Role, Place], pooler: PgBouncer | None
) -> dict[Role, Term]:
    if pooler is not None:
        return shown(pooler, places)
    said_about = told(settings)
    if said_about is None or said_about.pool_size is None:
        return {}
    return said(said_about, places)
