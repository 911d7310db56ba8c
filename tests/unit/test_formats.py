"""Any answer in the forms of Nagios, Prometheus, JUnit and GitHub."""

import io
import json
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from xml.etree import ElementTree as ET

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typing_extensions import override

from dbops.cli.call import Call, Command
from dbops.cli.ended import Ended, answered, bug, failed, skipped
from dbops.cli.formats import tell
from dbops.cli.junit import report
from dbops.cli.nagios import plugin_output
from dbops.cli.prometheus import exposition
from dbops.cli.run import _run
from dbops.errors import (
    ConfigError,
    DbopsError,
    FailedError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from dbops.results import Checked, Measure, Problem, Result, Status
from dbops.settings.model import FailOn, Format
from tests.unit.test_render import PAYLOADS

FORMS: Sequence[Format] = ("human", "json", "nagios", "prometheus", "github", "junit")
ERRORS = [
    (UsageError, 2),
    (ConfigError, 4),
    (UnreachableError, 5),
    (RefusedError, 6),
]


class Answer(Result):
    """A result with whatever questions and numbers a test wants."""

    summary: str = "all is said"
    """One sentence."""
    asked: tuple[Checked, ...] = ()
    """Questions."""
    numbers: tuple[Measure, ...] = ()
    """Numbers."""
    error: Problem | None = None
    """What kept it from being whole."""

    @property
    @override
    def problem(self) -> Problem | None:
        return self.error

    @override
    def checked(self) -> Sequence[Checked]:
        return self.asked

    @override
    def measures(self) -> Sequence[Measure]:
        return self.numbers


def asked(status: Status, *, id: str = "D1", **more: object) -> Checked:  # noqa: A002 # its name
    said = {"summary": f"it is {status}", **more}
    return Checked(id, "a question", status, **said)  # type: ignore[arg-type] # whatever a test says


def ended(
    status: Status = Status.OK,
    *numbers: Measure,
    target: str = "default",
    fail_on: FailOn = "unknown",
    checks: tuple[Checked, ...] = (),
    summary: str = "all is said",
    error: Problem | None = None,
) -> Ended:
    answer = Answer(
        status=status, summary=summary, asked=checks, numbers=numbers, error=error
    )
    return answered(target, answer, took_s=0.25, fail_on=fail_on, is_check=True)


def crashed() -> Ended:
    try:
        int("s3cr3t")
    except ValueError as error:
        return bug("default", error, verbose=False)
    raise AssertionError


def nagios(*ends: Ended, command: str = "lag", several: bool = False) -> list[str]:
    text, _ = plugin_output(command, ends, are_several=several)
    assert text.endswith("\n")
    return text.splitlines()


def nagios_code(*ends: Ended, command: str = "lag", several: bool = False) -> int:
    return plugin_output(command, ends, are_several=several)[1]


def samples(
    *ends: Ended, command: str = "lag", several: bool = False
) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Parse an exposition with Prometheus' own client."""
    text = exposition(command, ends, are_several=several)
    return {
        (it.name, frozenset(it.labels.items())): it.value
        for family in text_string_to_metric_families(text)
        for it in family.samples
    }


def named(found: dict[tuple[str, frozenset[tuple[str, str]]], float]) -> set[str]:
    return {name for name, _ in found}


def value_of(
    found: dict[tuple[str, frozenset[tuple[str, str]]], float],
    name: str,
    **labels: str,
) -> float:
    return found[name, frozenset(labels.items())]


def suites(*ends: Ended, command: str = "doctor") -> ET.Element:
    return ET.fromstring(report(command, ends))  # noqa: S314 # our own


@pytest.mark.parametrize(
    ("status", "word", "code"),
    [
        (Status.OK, "OK", 0),
        (Status.WARN, "WARNING", 1),
        (Status.FAIL, "CRITICAL", 2),
        (Status.UNKNOWN, "UNKNOWN", 3),
    ],
)
def test_a_plugin_says_its_verdict_in_a_word_and_a_code(
    status: Status, word: str, code: int
) -> None:
    assert nagios(ended(status))[0] == f"LAG {word}: all is said"
    assert nagios_code(ended(status)) == code


def test_the_first_line_carries_the_numbers_with_their_limits() -> None:
    low = Measure("lag_low", 10.0, "s", {"role": "reader"}, warn=5.0, fail=30.0)
    wal = Measure("bytes_behind", 23464.0, "B")
    used = Measure("used", 12.5, "%", warn=80)
    count = Measure("connections", 7.0, "", fail=90)
    (line,) = nagios(ended(Status.FAIL, low, wal, used, count))
    assert line == (
        "LAG CRITICAL: all is said | lag_low=10s;5;30 bytes_behind=23464B "
        "used=12.5%;80 connections=7;;90"
    )


def test_a_number_that_is_not_known_is_u_and_never_zero() -> None:
    unknown = Measure("lag", None, "s", warn=5.0, fail=30.0)
    nan, endless = Measure("a", float("nan"), "s"), Measure("b", float("inf"), "s")
    (line,) = nagios(ended(Status.UNKNOWN, unknown, nan, endless))
    assert line.endswith(" | lag=U;5;30 a=U b=U")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1e-7, "0"),
        (1e21, "1" + "0" * 21),
        (0.1 + 0.2, "0.3"),
        (-3.5, "-3.5"),
        (100, "100"),
    ],
)
def test_a_number_has_no_exponent(value: float, written: str) -> None:
    (line,) = nagios(ended(Status.OK, Measure("n", value)))
    assert line.endswith(f" | n={written}")


def test_labels_tell_numbers_of_one_name_apart() -> None:
    both = [Measure("total", 1.0, "s", {"role": it}) for it in ("writer", "reader")]
    (line,) = nagios(ended(Status.OK, *both, Measure("other", 1.0, "", {"a": "b"})))
    assert line.endswith("| total_writer=1s total_reader=1s other=1")


@pytest.mark.parametrize("payload", ["it's", "a=b", "a b", "a|b", "ü", *PAYLOADS])
def test_hostile_names_do_not_break_the_numbers(payload: str) -> None:
    labels = ({"role": payload}, {"role": "other"})
    numbers = [Measure("size", 1.0, "B", it) for it in labels]
    check = asked(Status.FAIL, summary=f"{payload} is bad", details=[payload])
    lines = nagios(
        ended(Status.FAIL, *numbers, checks=(check,), summary=f"{payload} is bad")
    )
    text, _, perfdata = lines[0].partition(" | ")
    assert "|" not in text
    assert all(line.isprintable() and "|" not in line for line in lines[1:])
    quoted = r"'(?:[^'=|]|'')+'|[^'=| ]+"
    assert re.fullmatch(rf"({quoted})=1B ({quoted})=1B", perfdata)


def test_the_lines_below_tell_every_verdict_that_is_not_good() -> None:
    checks = (
        asked(Status.OK, id="D1"),
        asked(Status.WARN, id="D2", details=["one", "two"]),
        asked(Status.UNKNOWN, id="D3"),
        asked(Status.OK, id="D4", is_skipped=True, summary="not on a reader"),
    )
    assert nagios(ended(Status.UNKNOWN, checks=checks))[1:] == [
        "[warn] D2 a question: it is warn",
        "one",
        "two",
        "[unknown] D3 a question: it is unknown",
        "[skipped] D4: not on a reader",
    ]


def test_several_targets_are_counted_and_the_worst_comes_first() -> None:
    number = Measure("lag", 1.0, "s")
    ends = [
        ended(Status.OK, number, target="a"),
        ended(Status.WARN, number, target="b b", summary="slow"),
        ended(Status.FAIL, target="c", summary="dead"),
    ]
    first, *_ = nagios(*ends, several=True)
    assert first == (
        "LAG CRITICAL: 3 targets: 1 ok, 1 warn, 1 fail; c: dead; b b: slow"
        " | a::lag=1s 'b b::lag'=1s"
    )
    assert nagios_code(*ends, several=True) == 2


def test_many_bad_targets_leave_the_first_line_short() -> None:
    ends = [ended(Status.FAIL, target=f"t{n}") for n in range(100)]
    first, *rest = nagios(*ends, several=True)
    assert len(first) < 200
    assert first.endswith("; 95 more")
    assert len(rest) == 100


@pytest.mark.parametrize(("kind", "code"), ERRORS)
def test_no_answer_is_unknown_to_nagios(kind: type[DbopsError], code: int) -> None:
    end = failed("default", kind("no way", hint="do this"))
    assert end.exit_code == code
    assert nagios(end) == ["LAG UNKNOWN: no way", "do this"]
    assert nagios_code(end) == 3


def test_a_bug_and_a_target_that_was_not_begun_are_unknown() -> None:
    assert nagios_code(crashed()) == 3
    ends = [ended(target="a"), skipped("b", "the canary failed", exit_code=8)]
    assert nagios_code(*ends, several=True) == 3


def test_only_ping_calls_an_unreachable_server_critical() -> None:
    end = failed("default", UnreachableError("nothing listens"))
    assert nagios(end, command="ping")[0] == "PING CRITICAL: nothing listens"
    assert nagios_code(end, command="ping") == 2
    assert nagios_code(end, command="pool") == 3
    late = failed("default", UnreachableError("late", phase="timeout"))
    assert (nagios_code(late, command="ping"), nagios_code(late)) == (2, 3)


def test_what_was_tried_and_failed_is_critical() -> None:
    assert nagios_code(failed("default", FailedError("no")), command="migrate") == 2


def test_an_answer_with_a_problem_is_never_ok() -> None:
    problem = Problem.of(UnreachableError("the reader is silent"))
    end = ended(Status.OK, error=problem, checks=(asked(Status.OK),))
    assert end.exit_code == 5
    assert nagios_code(end) == 3
    assert any("the reader is silent" in line for line in nagios(end))


def test_units_are_in_the_names_and_shares_are_ratios() -> None:
    found = samples(
        ended(
            Status.OK,
            Measure("lag_low", 1.5, "s", {"role": "reader"}),
            Measure("bytes_behind", 16.0, "B"),
            Measure("used", 12.5, "%"),
            Measure("connections", 7.0),
        )
    )
    assert value_of(found, "dbops_lag_low_seconds", role="reader") == 1.5
    assert value_of(found, "dbops_behind_bytes") == 16
    assert value_of(found, "dbops_used_ratio") == 0.125
    assert value_of(found, "dbops_connections") == 7


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_number_that_is_not_known_is_absent(value: float | None) -> None:
    text = exposition(
        "lag", [ended(Status.UNKNOWN, Measure("lag", value, "s"))], are_several=False
    )
    assert "dbops_lag_seconds" not in text
    assert "nan" not in text.lower()


@pytest.mark.parametrize("status", Status)
def test_exactly_one_state_is_set(status: Status) -> None:
    found = samples(ended(status, checks=(asked(status, id="D7"),)))
    for name, labels in (
        ("dbops_lag_status", {}),
        ("dbops_lag_check_status", {"check": "D7"}),
    ):
        states = {it: value_of(found, name, status=it, **labels) for it in Status}
        assert states == {it: float(it is status) for it in Status}


def test_what_was_not_asked_has_no_state() -> None:
    found = samples(ended(checks=(asked(Status.OK, is_skipped=True),)))
    assert "dbops_lag_check_status" not in named(found)


def test_up_says_only_what_is_known() -> None:
    up = "dbops_up"
    assert value_of(samples(ended(Status.FAIL)), up, command="lag") == 1
    silent = failed("default", UnreachableError("silent", phase="connect"))
    assert value_of(samples(silent), up, command="lag") == 0
    nobody_asked = [
        failed("default", UsageError("no")),
        failed("default", ConfigError("no")),
        failed("default", UnreachableError("no secret", phase="secret")),
        crashed(),
    ]
    for end in nobody_asked:
        found = samples(end)
        assert up not in named(found)
        assert value_of(found, "dbops_lag_status", status="unknown") == 1
        assert value_of(found, "dbops_lag_status", status="ok") == 0


def test_targets_are_labels_and_lines_of_one_name_stand_together() -> None:
    ends = [
        ended(Status.OK, Measure("lag", 1.0, "s"), target="a"),
        ended(Status.FAIL, Measure("lag", 2.0, "s"), target="b"),
    ]
    found = samples(*ends, several=True)
    assert value_of(found, "dbops_lag_seconds", target="a") == 1
    assert value_of(found, "dbops_lag_seconds", target="b") == 2
    text = exposition("lag", ends, are_several=True)
    for kind in ("HELP", "TYPE"):
        heads = re.findall(rf"^# {kind} (\S+)", text, re.MULTILINE)
        assert len(heads) == len(set(heads))
    names = [re.split(r"[{ ]", it)[0] for it in text.splitlines() if it[0] != "#"]
    assert [it for n, it in enumerate(names) if names[n - 1 : n] != [it]] == list(
        dict.fromkeys(names)
    )


def test_one_named_target_is_named_too() -> None:
    end = ended(Status.OK, Measure("lag", 1.0, "s"), target="prod")
    assert value_of(samples(end), "dbops_lag_seconds", target="prod") == 1


def test_no_line_is_there_twice() -> None:
    twice = (Measure("lag", 1.0, "s"), Measure("lag", 2.0, "s"))
    text = exposition("lag", [ended(Status.OK, *twice)], are_several=False)
    assert text.count("\ndbops_lag_seconds ") == 1


@pytest.mark.parametrize(
    "payload", ['a"b', "a\\b", r"a\n", "a\\", "a\nb", "{x}", "a,b", "", "ü"]
)
def test_label_values_are_whole(payload: str) -> None:
    found = samples(ended(Status.OK, Measure("size", 1.0, "B", {"object": payload})))
    assert value_of(found, "dbops_size_bytes", object=payload) == 1


@pytest.mark.parametrize("payload", PAYLOADS, ids=ascii)
def test_a_hostile_name_never_reaches_the_terminal_by_prometheus(payload: str) -> None:
    measure = Measure("size", 1.0, "B", {payload: payload}, about=payload)
    text = exposition("lag", [ended(Status.OK, measure)], are_several=False)
    assert all(line.isprintable() for line in text.splitlines())
    assert list(text_string_to_metric_families(text))


def test_a_case_for_each_question_and_a_suite_for_each_target() -> None:
    checks = (
        asked(Status.OK, id="D1"),
        asked(Status.WARN, id="D2", details=["mind this"]),
        asked(Status.FAIL, id="D3", details=["mend this"]),
        asked(Status.UNKNOWN, id="D4", details=["GRANT it"]),
        asked(Status.OK, id="D5", is_skipped=True, summary="not on a reader"),
    )
    root = suites(
        ended(Status.FAIL, checks=checks, target="a"),
        failed("b", UnreachableError("silent", hint="wait")),
    )
    assert [it.get("name") for it in root] == ["a", "b"]
    children = {it.get("name"): [child.tag for child in it] for it in root[0]}
    assert children == {
        "D1 a question": [],
        "D2 a question": ["system-out"],
        "D3 a question": ["failure"],
        "D4 a question": ["error"],
        "D5 a question": ["skipped"],
    }
    counted = {it: root.get(it) for it in ("tests", "failures", "errors", "skipped")}
    assert counted == {"tests": "6", "failures": "1", "errors": "2", "skipped": "1"}
    (failure,) = root.iter("failure")
    assert failure.get("message") == "it is fail"
    assert failure.text == "fail: it is fail\nmend this"
    error = next(root[1].iter("error"))
    assert (error.get("message"), error.text) == ("silent", "unknown: silent\nwait")


@pytest.mark.parametrize(
    ("status", "fail_on", "tag"),
    [
        (Status.WARN, "warn", "failure"),
        (Status.WARN, "unknown", "system-out"),
        (Status.UNKNOWN, "warn", "error"),
        (Status.UNKNOWN, "unknown", "error"),
        (Status.UNKNOWN, "fail", "skipped"),
        (Status.FAIL, "fail", "failure"),
    ],
)
def test_the_users_bar_decides_which_cases_fail(
    status: Status, fail_on: FailOn, tag: str
) -> None:
    root = suites(ended(status, fail_on=fail_on, checks=(asked(status),)))
    assert [it.tag for it in next(root.iter("testcase"))] == [tag]


def test_a_name_does_not_begin_a_line_of_a_report() -> None:
    check = asked(Status.FAIL, summary="bad", details=["a\n::error::b", "c"])
    root = suites(ended(Status.FAIL, checks=(check,)))
    assert next(root.iter("failure")).text == "fail: bad\na\\n::error::b\nc"


@pytest.mark.parametrize("payload", [*PAYLOADS, "<&]]>\"'", "\ufffe", "\x85\u2028"])
def test_a_report_is_well_formed_whatever_a_name_holds(payload: str) -> None:
    check = asked(Status.FAIL, id=payload, summary=payload, details=[payload])
    end = ended(Status.FAIL, checks=(check,), target=payload)
    assert report("doctor", [end]).isascii()
    root = suites(end)
    text = next(root.iter("failure")).text
    assert text is not None
    assert all(it.isprintable() or it == "\n" for it in text)


def told(form: Format, *ends: Ended, several: bool = False) -> tuple[str, int]:
    stream = io.StringIO()
    with redirect_stdout(stream):
        code = tell("doctor", ends, form, are_several=several)
    return stream.getvalue(), code


def annotated(text: str) -> list[str]:
    return [it for it in text.splitlines() if it.startswith(("::error", "::warning"))]


def test_every_verdict_that_is_not_good_is_an_annotation() -> None:
    checks = (
        asked(Status.OK, id="D1"),
        asked(Status.WARN, id="D2", details=["one", "two"]),
        asked(Status.FAIL, id="D3", details=["100 %"]),
        asked(Status.UNKNOWN, id="D4"),
        asked(Status.OK, id="D5", is_skipped=True),
    )
    text, code = told("github", ended(Status.FAIL, checks=checks))
    assert code == 1
    assert annotated(text) == [
        "::warning title=dbops doctor%3A D2::it is warn%0Aone%0Atwo",
        "::error title=dbops doctor%3A D3::it is fail. 100 %25",
        "::error title=dbops doctor%3A D4::it is unknown",
    ]


def test_several_targets_are_named_in_the_annotations() -> None:
    ends = [ended(target="a"), failed("b", UnreachableError("silent"))]
    text, code = told("github", *ends, several=True)
    assert code == 8
    assert annotated(text) == ["::error title=dbops doctor (b)::silent"]


def test_a_name_is_no_command_of_the_runner() -> None:
    name = "::set-env name=PATH::x"
    text, _ = told("github", ended(Status.FAIL, summary=f"\n{name}"))
    lines = text.splitlines()
    stop = next(it for it in lines if it.startswith("::stop-commands::"))
    token = stop.removeprefix("::stop-commands::")
    heard = lines[: lines.index(stop)] + lines[lines.index(f"::{token}::") + 1 :]
    assert not any(it.strip().startswith("::set-env") for it in heard)


@pytest.mark.parametrize("form", ["nagios", "prometheus", "github", "junit"])
def test_an_answer_that_cannot_be_told_is_a_bug_of_ours(
    form: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Result):
        """A result that cannot say what it answers."""

        @override
        def checked(self) -> Sequence[Checked]:
            raise KeyError("s3cr3t")

    async def operation(_call: Call) -> Result:
        return Broken()

    code = _run(Command("lag", operation, {"format": form}, is_check=True))
    found = capsys.readouterr()
    assert code == (3 if form == "nagios" else 70)
    assert "bug in dbops: KeyError" in found.out + found.err
    assert "s3cr3t" not in found.out + found.err


def raising(error: Exception) -> Callable[[Call], object]:
    async def operation(_call: Call) -> Result:
        raise error

    return operation


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("error", "code"),
    [
        *((kind("one sentence", hint="do this"), code) for kind, code in ERRORS),
        (RuntimeError("s3cr3t"), 70),
    ],
)
def test_an_error_has_its_code_and_is_said_in_every_form(
    form: Format, error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command("pool", raising(error), {"format": form})  # type: ignore[arg-type] # raises
    assert _run(command) == (3 if form == "nagios" else code)
    found = capsys.readouterr()
    said = "bug in dbops" if code == 70 else "one sentence"
    assert said in found.out + found.err
    assert "s3cr3t" not in found.out + found.err
    assert "Traceback" not in found.err
    match form:
        case "json":
            assert json.loads(found.out)["exit_code"] == code
        case "nagios":
            assert found.out.startswith("POOL UNKNOWN: ")
            assert found.err == ""
        case "prometheus":
            assert list(text_string_to_metric_families(found.out))
        case "github":
            assert found.out.startswith("::error title=dbops pool::")
        case "junit":
            assert next(ET.fromstring(found.out).iter("error")) is not None  # noqa: S314 # our own
        case "human":
            assert found.out == ""
