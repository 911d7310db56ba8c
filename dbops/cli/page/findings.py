"""The sections with words: what was found, and every check."""

from dbops.cli.page.elements import Element, element
from dbops.operations.doctor import Diagnosis, Finding
from dbops.operations.report import Report
from dbops.results import Status


def findings(report: Report) -> list[Element]:
    """Show what was found, check by check, with what to do about it."""
    if report.doctor is None:
        return []
    found = [it for it in report.doctor.checks if it.findings]
    if not found:
        return [element("h2", "Findings"), element("p", "Nothing was found.")]
    order = (Status.FAIL, Status.UNKNOWN, Status.WARN, Status.OK)
    found.sort(key=lambda it: order.index(it.status))
    blocks = [block for it in found for block in _diagnosis(it)]
    return [element("h2", "Findings"), *blocks]


def _diagnosis(diagnosis: Diagnosis) -> list[Element]:
    return [
        element(
            "h3",
            f"{diagnosis.id} {diagnosis.title} ",
            element("span", str(diagnosis.status), class_=f"status {diagnosis.status}"),
        ),
        *(_finding(it) for it in diagnosis.findings),
    ]


def _finding(finding: Finding) -> Element:
    place = ", ".join(it for it in (finding.role, finding.database) if it)
    kind = "ok" if finding.severity == "info" else str(finding.severity)
    return element(
        "div",
        element("b", finding.object),
        element("span", f"  {place}", class_="soft") if place else None,
        element("p", finding.message),
        element("pre", finding.remedy) if finding.remedy else None,
        class_=f"finding {kind}",
    )


def checks(report: Report) -> list[Element]:
    """Show every check with what was seen, those that do not apply too."""
    if report.doctor is None:
        return []
    head = element(
        "thead",
        element("tr", *(element("th", it) for it in ("check", "verdict", "seen"))),
    )
    rows = [_row(it) for it in report.doctor.checks]
    return [
        element("h2", "Every check"),
        element("table", head, element("tbody", *rows)),
    ]


def _row(diagnosis: Diagnosis) -> Element:
    verdict = str(diagnosis.status) if diagnosis.applies else "skipped"
    about = [diagnosis.summary, *diagnosis.notes]
    about += [f"accepted: {it.object} ({it.reason})" for it in diagnosis.accepted]
    about += [f"requires: {diagnosis.requires}"] if diagnosis.requires else []
    return element(
        "tr",
        element("td", f"{diagnosis.id} {diagnosis.title}"),
        element("td", element("span", verdict, class_=f"status {verdict}")),
        element("td", *(element("p", it) for it in about)),
    )
