"""Any answer as a report of tests: a suite for each target, a case for each question.

https://github.com/testmoapp/junitxml
"""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from dbops.cli.ended import Ended
from dbops.cli.render import safe
from dbops.cli.verdicts import called, verdicts
from dbops.results import Checked, Status
from dbops.settings.model import FailOn


def report(command: str, ends: Sequence[Ended]) -> str:
    """Return one XML document, in ASCII.

    Args:
        command: Its name.
        ends: How it ended on each target.
    """
    suites = Element("testsuites", name=_legal(f"dbops {command}"))
    for end in ends:
        suite = SubElement(suites, "testsuite", name=_legal(end.target))
        for it in verdicts(command, end):
            _add_case(suite, command, it, end.fail_on)
        _count(suite, suite, took_s=end.took_s)
        if len(suite) == 1 and end.took_s is not None:
            suite[0].set("time", f"{end.took_s:.3f}")
    took = [end.took_s for end in ends if end.took_s is not None]
    _count(suites, suites, took_s=max(took, default=None))
    indent(suites)
    whole: bytes = tostring(suites, encoding="us-ascii", xml_declaration=True)
    return whole.decode() + "\n"


def _add_case(suite: Element, command: str, it: Checked, fail_on: FailOn) -> None:
    classname = f"dbops.{command}.{suite.get('name')}"
    case = SubElement(
        suite, "testcase", classname=_legal(classname), name=_legal(called(it))
    )
    kind = _kind(it, fail_on)
    said = it.summary if it.is_skipped else f"{it.status}: {it.summary}"
    # What is in one sentence stays on one line.
    text = "\n".join(_legal(line) for line in (said, *it.details))
    if kind is not None:
        SubElement(case, kind, message=_legal(it.summary), type=str(it.status))
        case[0].text = text
    elif it.status is not Status.OK or it.details:
        SubElement(case, "system-out").text = text


def _kind(it: Checked, fail_on: FailOn) -> str | None:
    """Return the element that says how a case went; None where it passed."""
    if it.is_skipped:
        return "skipped"
    match it.status:
        case Status.FAIL:
            return "failure"
        case Status.UNKNOWN:
            # Not to fail is not to pass: nobody knows.
            return "skipped" if fail_on == "fail" else "error"
        case Status.WARN:
            return "failure" if fail_on == "warn" else None
        case Status.OK:
            return None


def _count(element: Element, within: Element, *, took_s: float | None) -> None:
    counted = {"tests": "testcase", "failures": "failure", "errors": "error"}
    for name, tag in {**counted, "skipped": "skipped"}.items():
        element.set(name, str(sum(1 for _ in within.iter(tag))))
    if took_s is not None:
        element.set("time", f"{took_s:.3f}")


def _legal(text: str) -> str:
    """Leave out what XML 1.0 has no characters for; every printable one is legal.

    https://www.w3.org/TR/xml/#charsets
    """
    return safe(text)
