"""The sections with numbers: latency, lag, connections, sizes."""

from collections.abc import Iterable

from dbops.cli.page.charts import Part, Point, band, ranked, stacked
from dbops.cli.page.elements import Element, element
from dbops.limits import amount_text
from dbops.operations.ping import PingedEndpoint
from dbops.operations.report import Relation, Report

_PHASES = ("resolve", "connect", "tls", "auth", "query")
_MOST_HOLDERS = 5


def latency(report: Report) -> list[Element]:
    """Show where the time of a ping went."""
    if report.ping is None:
        return []
    endpoints = report.ping.endpoints
    times = [it.latency_ms.total for it in endpoints if it.latency_ms is not None]
    slowest = max(times, default=0.0)
    return [
        element("h2", "Latency by phase"),
        *(element("div", *_endpoint(it, slowest)) for it in endpoints),
    ]


def _endpoint(endpoint: PingedEndpoint, slowest: float) -> list[Element]:
    where = f"{endpoint.host}:{endpoint.port}" if endpoint.host else "unknown host"
    version = endpoint.server_version
    about = [where, f"PostgreSQL {version}" if version else None, endpoint.note]
    made = [
        element("h3", endpoint.role),
        element("p", ", ".join(it for it in about if it), class_="soft"),
    ]
    if endpoint.error is not None:
        made.append(element("p", endpoint.error.message))
    if endpoint.latency_ms is None:
        return made
    took = endpoint.latency_ms.model_dump()
    parts = [
        Part(phase, took[phase], f"{took[phase]:.1f} ms")
        for phase in _PHASES
        if took[phase] is not None
    ]
    return [
        *made,
        stacked(parts, whole=slowest, name=f"latency of the {endpoint.role}"),
    ]


def staleness(report: Report) -> list[Element]:
    """Show how far the reader was behind."""
    problem = report.problems.get("samples")
    if report.lag is None and not report.samples and problem is None:
        return []
    made = [element("h2", "Lag of the reader")]
    if report.lag is not None:
        made.append(element("p", report.lag.summary))
    if problem is not None:
        made.append(element("p", f"It could not be sampled: {problem.message}"))
    if not report.samples:
        return made
    points = [Point(it.at_s, it.low_s, it.high_s) for it in report.samples]
    unknown = sum(it.low is None and it.high is None for it in points)
    highest = max((it.high for it in points if it.high is not None), default=None)
    sampled = [
        f"{len(points)} samples",
        "nothing is known" if highest is None else f"at most {highest:.3g} s behind",
        f"{unknown} of them unknown" if unknown else "none of them unknown",
    ]
    return [
        *made,
        band(points, name="lag of the reader", unit="s"),
        element("p", ", ".join(sampled), class_="soft"),
    ]


def connections(report: Report) -> list[Element]:
    """Show who holds connections, and what the application may open."""
    if report.pool is None:
        return []
    server, budget = report.pool.server, report.pool.budget
    by_application: dict[str, int] = {}
    for holder in server.by_application:
        held = by_application.get(holder.application, 0)
        by_application[holder.application] = held + holder.connections
    first = sorted(by_application.items(), key=lambda it: -it[1])[:_MOST_HOLDERS]
    parts = [Part(name, held, str(held)) for name, held in first]
    others = server.in_use - sum(held for _, held in first)
    if others > 0:
        parts.append(Part("others", others, str(others), "c5"))
    demand = "no limit" if budget.demand is None else str(budget.demand)
    return [
        element("h2", "Connections"),
        element("p", f"{server.in_use} of {server.usable} usable connections in use."),
        stacked(parts, whole=max(server.usable, server.in_use), name="connections"),
        element("h3", "Budget"),
        element(
            "p",
            f"The application may open {demand}: "
            + ("that fits." if budget.fits else "that does not fit."),
        ),
        _table(
            ("what opens them", "connections"),
            (
                (it.name, "no limit" if it.connections is None else str(it.connections))
                for it in budget.terms
            ),
        ),
    ]


def relations(report: Report) -> list[Element]:
    """Show the biggest tables and indexes."""
    problem = report.problems.get("relations")
    if problem is not None:
        return [element("h2", "Sizes"), element("p", f"Unknown: {problem.message}")]
    made = []
    for kind, title in (("table", "Biggest tables"), ("index", "Biggest indexes")):
        found = [it for it in report.relations if it.kind == kind]
        if found:
            made += [element("h2", title), ranked([_part(it) for it in found])]
    return made


def _part(relation: Relation) -> Part:
    size = amount_text(relation.size_bytes, "B")
    rows = "" if relation.rows is None else f", about {relation.rows} rows"
    on = "" if relation.table is None else f" on {relation.table}"
    about = "about " if relation.is_estimate else ""
    return Part(f"{relation.name}{on}", relation.size_bytes, f"{about}{size}{rows}")


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Element:
    head = element("thead", element("tr", *(element("th", it) for it in heads)))
    body = element(
        "tbody",
        *(element("tr", *(element("td", cell) for cell in row)) for row in rows),
    )
    return element("table", head, body)
