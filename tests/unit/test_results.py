"""The vocabulary of verdicts."""

from itertools import permutations

import pytest
from pydantic import ValidationError
from typing_extensions import override

from dbops import errors
from dbops.errors import ConfigError, DbopsError, Outcome, UnreachableError
from dbops.results import Problem, Result, Status, grade, worst

OK, WARN, FAIL, UNKNOWN = Status.OK, Status.WARN, Status.FAIL, Status.UNKNOWN


def test_not_knowing_is_worse_than_a_warning_and_better_than_a_failure() -> None:
    for statuses in permutations(Status):
        assert worst(statuses) is FAIL
    assert worst([WARN, UNKNOWN, OK]) is UNKNOWN
    assert worst([OK, WARN]) is WARN
    assert worst([]) is OK


@pytest.mark.parametrize(
    ("value", "status"), [(0, OK), (4.9, OK), (5, WARN), (9, WARN), (10, FAIL)]
)
def test_a_value_is_judged_from_its_limits_on(value: float, status: Status) -> None:
    assert grade(value, warn=5, fail=10) is status


def test_a_value_that_nobody_knows_is_unknown() -> None:
    assert grade(None, warn=5, fail=10) is UNKNOWN


def test_a_limit_to_fail_below_the_limit_to_warn_still_fails() -> None:
    assert grade(3, warn=5, fail=2) is FAIL


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (OK, Outcome.OK), (WARN, Outcome.OK), (FAIL, Outcome.UNHEALTHY),
        (UNKNOWN, Outcome.UNHEALTHY),
    ],
)  # fmt: skip
def test_a_status_leads_to_an_outcome(status: Status, outcome: Outcome) -> None:
    assert Result(status=status).outcome is outcome


def test_what_kept_the_answer_from_being_whole_decides_the_outcome() -> None:
    class Cut(Result):
        @property
        @override
        def problem(self) -> Problem | None:
            return Problem.of(UnreachableError("gone"))

    assert Cut(status=OK).outcome is Outcome.UNREACHABLE


def test_an_error_becomes_data() -> None:
    error = UnreachableError("no", hint="wait", phase="connect", sqlstate="57P03")

    assert Problem.of(error).model_dump() == {
        "type": "UnreachableError",
        "message": "no",
        "hint": "wait",
        "phase": "connect",
        "sqlstate": "57P03",
        "retryable": True,
        "outcome": "unreachable",
    }


def test_an_error_may_differ_from_its_class_about_a_retry() -> None:
    assert not UnreachableError("no", retryable=False).retryable
    assert ConfigError("no", retryable=True).retryable
    assert not ConfigError("no").retryable


def test_every_error_leads_to_an_outcome_and_is_drawn_in_the_tree() -> None:
    classes = [
        it
        for it in vars(errors).values()
        if isinstance(it, type) and issubclass(it, DbopsError) and it is not DbopsError
    ]

    assert len(classes) == 13
    for it in classes:
        assert isinstance(it.outcome, Outcome)
        assert it.__name__ in (errors.__doc__ or "")


def test_a_result_cannot_be_changed_or_given_what_it_does_not_know() -> None:
    with pytest.raises(ValidationError):
        Result().status = FAIL
    with pytest.raises(ValidationError):
        Result(nonsense=1)  # type: ignore[call-arg] # the point of the test


def test_a_schema_describes_each_field_by_its_docstring() -> None:
    from dbops.operations.ping import Ping

    schema = Ping.model_json_schema()
    assert schema["properties"]["status"]["description"] == (
        "The verdict over the facts below."
    )
    latency = schema["$defs"]["Latency"]["properties"]
    assert latency["query"]["description"] == "The first query."
    for model in (schema, *schema["$defs"].values()):
        for name, field in model.get("properties", {}).items():
            assert field.get("description"), name
