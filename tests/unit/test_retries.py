"""Which answers are bad, and which questions are asked again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbops.cli.call import Call, Command
from dbops.cli.ended import answered
from dbops.cli.run import _run
from dbops.errors import (
    ConfigError,
    DbopsError,
    FailedError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from dbops.results import Problem, Result, Status
from dbops.settings.model import FailOn
from tests.unit.test_formats import Answer, ended


@pytest.mark.parametrize(
    ("status", "codes"),
    [
        (Status.OK, {"warn": 0, "unknown": 0, "fail": 0}),
        (Status.WARN, {"warn": 1, "unknown": 0, "fail": 0}),
        (Status.UNKNOWN, {"warn": 1, "unknown": 1, "fail": 0}),
        (Status.FAIL, {"warn": 1, "unknown": 1, "fail": 1}),
    ],
)
@pytest.mark.parametrize("fail_on", ["warn", "unknown", "fail"])
def test_the_users_bar_decides_the_exit_code(
    status: Status, fail_on: FailOn, codes: dict[str, int]
) -> None:
    assert ended(status, fail_on=fail_on).exit_code == codes[fail_on]
    problem = Problem.of(UnreachableError("silent"))
    assert ended(status, fail_on=fail_on, error=problem).exit_code == 5


def test_a_problem_wins_over_the_users_bar() -> None:
    problem = Problem.of(FailedError("broken"))
    assert ended(Status.UNKNOWN, fail_on="fail", error=problem).exit_code == 1


def test_a_command_that_is_no_check_has_no_bar() -> None:
    found = answered("a", Result(status=Status.WARN), took_s=0, fail_on="warn")
    assert found.exit_code == 0


def answering(*answers: Result | DbopsError) -> tuple[Command, list[Call]]:
    """Return a check that gives these answers, one after another."""
    calls: list[Call] = []
    left: Iterator[Result | DbopsError] = iter(answers)

    async def operation(call: Call) -> Result:
        calls.append(call)
        answer = next(left)
        if isinstance(answer, DbopsError):
            raise answer
        return answer

    flags = {"retries": 3, "interval": "1ms"}
    return Command("lag", operation, flags, is_check=True), calls


BAD = Answer(status=Status.FAIL, summary="behind")
GOOD = Answer(summary="fresh")


def test_the_first_good_answer_counts_and_the_others_are_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command, calls = answering(BAD, UnreachableError("silent"), GOOD, BAD)
    assert _run(command) == 0
    assert len(calls) == 3
    found = capsys.readouterr()
    assert found.err.splitlines() == [
        "asking again (1 of 3): fail: behind",
        "asking again (2 of 3): silent",
    ]
    assert "fresh" in found.out
    assert "behind" not in found.out


def test_the_last_bad_answer_counts() -> None:
    command, calls = answering(BAD, BAD, BAD, UnreachableError("silent"))
    assert _run(command) == 5
    assert len(calls) == 4


@pytest.mark.parametrize(
    "error", [UsageError("no"), ConfigError("no"), RefusedError("no")]
)
def test_what_asking_again_cannot_mend_is_asked_once(error: DbopsError) -> None:
    command, calls = answering(error, GOOD)
    _run(command)
    assert len(calls) == 1


def test_a_warning_is_asked_again_only_where_it_is_bad() -> None:
    warned = Answer(status=Status.WARN)
    command, calls = answering(warned, GOOD)
    assert _run(command) == 0
    assert len(calls) == 1
    command, calls = answering(warned, GOOD)
    flags = {**command.flags, "fail_on": "warn"}
    assert _run(command._replace(flags=flags)) == 0
    assert len(calls) == 2


def test_the_time_out_bounds_all_of_them_and_keeps_the_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls = []

    async def operation(call: Call) -> Result:
        calls.append(call.settings.timeout)
        if len(calls) > 1:
            await asyncio.sleep(60)
        return BAD

    flags = {"retries": 50, "interval": "1ms", "timeout": "1s"}
    assert _run(Command("lag", operation, flags, is_check=True)) == 1
    assert len(calls) == 2
    assert "behind" in capsys.readouterr().out


def test_the_time_of_several_targets_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (f"[targets.t{n}]\ndatabase_url = 'postgresql://h/d'\n" for n in range(3))
    (tmp_path / "dbops.toml").write_text("".join(lines))
    monkeypatch.chdir(tmp_path)
    left_s: list[float] = []

    async def operation(call: Call) -> Result:
        assert call.settings.timeout is not None
        left_s.append(call.settings.timeout)
        await asyncio.sleep(60)
        return GOOD

    flags = {"target": ["*"], "jobs": "1", "timeout": "500ms", "quiet": True}
    assert _run(Command("lag", operation, flags, is_check=True)) == 8
    assert left_s[0] > 0.1
    assert all(it < 0.01 for it in left_s[1:])


def test_quiet_says_no_retries(capsys: pytest.CaptureFixture[str]) -> None:
    command, _ = answering(BAD, GOOD)
    _run(command._replace(flags={**command.flags, "quiet": True}))
    assert capsys.readouterr().err == ""
