"""From an operation to the exit."""

import json
from collections.abc import Callable

import pytest

from dbops.cli.call import Call, Command
from dbops.cli.options import _OPTIONS as OPTIONS
from dbops.cli.options import variable
from dbops.cli.run import _run
from dbops.errors import (
    ConfigError,
    DbopsError,
    FailedError,
    LockedError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from dbops.results import Result, Status
from dbops.settings import Settings, env_name

SECRET = "s3cr3t-sentinel"


def raising(error: Exception) -> Callable[[Call], object]:
    async def operation(_call: Call) -> Result:
        raise error

    return operation


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FailedError, 1),
        (UsageError, 2),
        (ConfigError, 4),
        (UnreachableError, 5),
        (RefusedError, 6),
        (LockedError, 7),
    ],
)
def test_each_error_has_its_code_in_both_formats(
    kind: type[DbopsError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    operation = raising(kind("one sentence", hint="do this"))
    assert _run(Command("x", operation, {})) == code  # type: ignore[arg-type] # raises
    human = capsys.readouterr()
    assert human.out == ""
    assert human.err == "error: one sentence\nhint: do this\n"
    assert _run(Command("x", operation, {"format": "json"})) == code  # type: ignore[arg-type] # same
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code
    assert document["error"]["type"] == kind.__name__


@pytest.mark.parametrize(
    ("status", "code"),
    [(Status.OK, 0), (Status.WARN, 0), (Status.FAIL, 1), (Status.UNKNOWN, 1)],
)
def test_each_status_has_its_code(status: Status, code: int) -> None:
    async def operation(_call: Call) -> Result:
        return Result(status=status)

    assert _run(Command("x", operation, {})) == code


def test_a_bug_is_seventy_and_says_where_but_no_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    operation = raising(RuntimeError(SECRET))
    assert _run(Command("x", operation, {})) == 70  # type: ignore[arg-type] # raises
    found = capsys.readouterr()
    assert "bug in dbops: RuntimeError at test_run.py" in found.err
    assert SECRET not in found.out + found.err
    assert "Traceback" not in found.err
    _run(Command("x", operation, {"verbose": True}))  # type: ignore[arg-type] # same
    assert "Traceback" in capsys.readouterr().err


def test_an_operation_beyond_the_timeout_is_unreachable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import asyncio

    async def operation(_call: Call) -> Result:
        await asyncio.sleep(60)
        raise AssertionError

    assert _run(Command("x", operation, {"timeout": "50ms"})) == 5
    assert "was not done within 0.05 s" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - {"env_file"}))
def test_an_options_variable_is_the_one_that_the_settings_read(name: str) -> None:
    assert name in Settings.model_fields
    assert variable(name) == env_name(name)
