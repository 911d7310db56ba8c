"""Any result, as text and as JSON."""

import io
import json

import pytest
from typing_extensions import override

from dbops.cli.render import document, safe, write_human, write_json
from dbops.errors import RefusedError
from dbops.results import Model, Problem, Result, Status

PAYLOADS = [
    "\x1b[31mred\x1b[0m",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x9b31m",
    "a\rb",
    "a\nb",
    "a\x08b",
    "\u202egnp.exe",
    "\u2066isolate",
    "\x7f",
    "nul\x00",
    "[bold]markup[/bold]",
    "[/bold]",
    "[link=https://example.com]x[/link]",
    "\ud800",
]


class Row(Model):
    """A row."""

    name: str
    """A name from a database."""
    size_ms: float | None = None
    """A number that may be unknown."""


class Shown(Result):
    """A result with everything that there can be."""

    name: str
    """A name from a database."""
    flag: bool
    """A claim."""
    nothing: str | None = None
    """Not known."""
    names: tuple[str, ...] = ()
    """Several names."""
    rows: tuple[Row, ...] = ()
    """Several rows."""
    inner: Row | None = None
    """A part."""
    nested: "Shown | None" = None
    """Another result."""


def human(result: Result) -> str:
    stream = io.StringIO()
    write_human(result, stream)
    return stream.getvalue()


def everywhere(name: str) -> Shown:
    part = Shown(name=name, flag=False)
    row = Row(name=name)
    return Shown(
        name=name, flag=True, names=(name,), rows=(row,), inner=row, nested=part
    )


@pytest.mark.parametrize("payload", PAYLOADS, ids=ascii)
def test_a_hostile_name_never_reaches_the_terminal_raw(payload: str) -> None:
    text = human(everywhere(payload))
    assert all(c.isprintable() or c == "\n" for c in text)
    assert text.count(safe(payload)) == 5


@pytest.mark.parametrize("payload", PAYLOADS, ids=ascii)
def test_a_hostile_name_is_whole_and_ascii_in_json(payload: str) -> None:
    result = everywhere(payload)
    if payload == "\ud800":
        pytest.xfail("a lone surrogate is no text that a server can send")
    stream = io.StringIO()
    whole = document("x", "default", exit_code=0, result=result, problem=None)
    write_json(whole, stream)
    assert stream.getvalue().isascii()
    assert json.loads(stream.getvalue())["result"]["name"] == payload


class Section(Model):
    """A row that has rows."""

    name: str
    """What it is called."""
    rows: tuple[Row, ...] = ()
    """Its rows."""


class Sections(Result):
    """A result of such rows."""

    parts: tuple[Section, ...]
    """They."""


def test_rows_of_rows_stand_below_their_own_name() -> None:
    one = Section(name="one", rows=(Row(name="first", size_ms=1.0),))
    two = Section(name="two")
    lines = human(Sections(parts=(one, two))).splitlines()
    places = [
        next(i for i, line in enumerate(lines) if word in line.split())
        for word in ("one", "first", "two")
    ]
    assert places == sorted(places)
    assert not any("Row(" in line or "name=" in line for line in lines)


def test_the_status_comes_first_and_what_is_unknown_stays_unsaid() -> None:
    lines = human(Shown(status=Status.WARN, name="n", flag=True)).splitlines()
    assert lines[0] == "warn"
    assert not any("nothing" in line for line in lines)
    assert any(line.split() == ["flag", "yes"] for line in lines)


class Summed(Result):
    """A result with a sentence, and two models of one kind."""

    name: str
    """A name."""
    summary: str
    """One sentence."""
    first: Row
    """One of two."""
    second: Row
    """The other."""
    rare: tuple[str, ...] = ()
    """There in rare cases."""
    pending: tuple[str, ...]
    """There always."""


def test_the_summary_follows_the_status_and_is_said_once() -> None:
    shown = Summed(
        name="n",
        summary="all is said",
        first=Row(name="a", size_ms=1.0),
        second=Row(name="b"),
        pending=(),
    )
    lines = human(shown).splitlines()
    assert lines[:2] == ["ok", "all is said"]
    assert human(shown).count("all is said") == 1
    words = [line.split() for line in lines]
    assert ["first", "second"] in words
    assert ["name", "a", "b"] in words
    assert ["pending", "none"] in words
    assert not any("rare" in line for line in lines)


def test_units_stay_beside_their_numbers() -> None:
    text = human(Shown(name="n", flag=True, rows=(Row(name="a", size_ms=1.25),)))
    assert "size ms" in text


def test_an_error_is_shown_once_as_a_column_of_its_row() -> None:
    class Failed(Model):
        """A row with a problem."""

        error: Problem

    class Failures(Result):
        """Rows with problems."""

        rows: tuple[Failed, ...]

        @property
        @override
        def problem(self) -> Problem:
            return self.rows[0].error

    problem = Problem.of(RefusedError("no [bold]way", hint="try"))
    text = human(Failures(rows=(Failed(error=problem),)))
    assert text.count("no [bold]way") == 1


def test_the_document_has_the_fields_that_scripts_rely_on() -> None:
    problem = Problem.of(RefusedError("no", hint="do", phase="auth", sqlstate="42501"))
    found = document("x", "t", exit_code=6, result=None, problem=problem)
    assert found == {
        "command": "x",
        "target": "t",
        "status": None,
        "exit_code": 6,
        "error": {
            "type": "RefusedError",
            "message": "no",
            "hint": "do",
            "phase": "auth",
            "sqlstate": "42501",
            "retryable": False,
        },
        "result": None,
    }
