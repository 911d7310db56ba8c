"""The page as a whole: what stands above, and the sections below."""

from importlib.resources import files

from dbops import __version__
from dbops.cli.page.answers import Said, answers
from dbops.cli.page.elements import Element, element, whole
from dbops.cli.page.findings import checks, findings
from dbops.cli.page.numbers import connections, latency, relations, staleness
from dbops.operations.report import Report

# No script, no request: the page may be opened anywhere, and mailed.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(report: Report, *, target: str) -> str:
    """Return a report as a document of HTML that needs nothing besides itself.

    Args:
        report: What was answered.
        target: Which database, as the user calls it.
    """
    title = f"dbops report: {target}"
    body = element(
        "body",
        *_top(report, target),
        *latency(report),
        *staleness(report),
        *connections(report),
        *relations(report),
        *findings(report),
        *checks(report),
    )
    return whole(element("html", _head(title), body, lang="en"))


def _head(title: str) -> Element:
    style = element("style")
    # Raw in HTML, and ours: nothing from a database is in it.
    style.text = files("dbops.cli.page").joinpath("style.css").read_text("utf-8")
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        style,
    )


def _top(report: Report, target: str) -> list[Element]:
    when = report.taken_at.isoformat(" ", "seconds").replace("+00:00", " UTC")
    return [
        element("h1", f"Database report: {target}"),
        element(
            "p",
            element("span", str(report.status), class_=f"status {report.status}"),
            element("span", f"  {when}, dbops {__version__}", class_="soft"),
        ),
        element("div", *(_card(it) for it in answers(report)), class_="cards"),
    ]


def _card(said: Said) -> Element:
    return element(
        "section",
        element("h3", said.question),
        element("span", str(said.status), class_=f"status {said.status}"),
        element("p", said.summary),
        class_=f"card {said.status}",
    )
