"""How did a command end on one target?"""

import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from dbops.cli import exit_codes
from dbops.cli.render import document
from dbops.errors import DbopsError, Outcome
from dbops.results import Problem, Result, Status, worst
from dbops.settings.model import FailOn

SKIPPED = "Skipped"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended on one target."""

    target: str
    exit_code: int
    result: Result | None = None
    problem: Problem | None = None
    took_s: float | None = None
    """How long it took; None where nothing was begun."""
    earlier: Mapping[str, Any] | None = None
    """The document of an earlier run, where that had done it already."""
    out: str = ""
    """What the operation wrote to stdout itself, in another process."""
    fail_on: FailOn = "unknown"
    """From which verdict on an answer is bad."""

    @property
    def is_skipped(self) -> bool:
        """Whether it was never begun."""
        return self.problem is not None and self.problem.type == SKIPPED

    @property
    def is_answer(self) -> bool:
        """Whether there is anything to show besides what was written already."""
        return any((self.result, self.problem, self.earlier))

    def told(self) -> dict[str, Any]:
        """Return all of it as JSON, for the process that `heard` is called in."""
        kind = type(self.result)
        return {
            "exit_code": self.exit_code,
            "kind": f"{kind.__module__}:{kind.__qualname__}",
            "result": self.result and self.result.model_dump(mode="json"),
            "problem": self.problem and self.problem.model_dump(mode="json"),
            "took_s": self.took_s,
            "out": self.out,
            "fail_on": self.fail_on,
        }

    @classmethod
    def heard(cls, target: str, told: Mapping[str, Any]) -> Self:
        """Return what another process has `told`."""
        result = None
        if told["result"] is not None:
            module, _, name = told["kind"].partition(":")
            result = getattr(import_module(module), name).model_validate(told["result"])
        problem = told["problem"] and Problem.model_validate(told["problem"])
        return cls(
            target,
            told["exit_code"],
            result,
            problem or None,
            told["took_s"],
            out=told["out"],
            fail_on=told["fail_on"],
        )

    def document(self, command: str) -> dict[str, Any]:
        """Return its JSON document."""
        if self.earlier is not None:
            return {**self.earlier, "target": self.target}
        whole = document(
            command,
            self.target,
            exit_code=self.exit_code,
            result=self.result,
            problem=self.problem,
        )
        if self.is_skipped:
            whole["status"] = str(Status.UNKNOWN)
        return whole


def answered(
    target: str,
    result: Result | int,
    *,
    took_s: float,
    fail_on: FailOn = "unknown",
    is_check: bool = False,
) -> Ended:
    """Return the end of an operation that came back.

    Args:
        target: What it is called.
        result: The answer, or the exit code.
        took_s: How long it took.
        fail_on: From which verdict on an answer is bad.
        is_check: Whether that decides the exit code.
    """
    if isinstance(result, int):
        return Ended(target, result, took_s=took_s, fail_on=fail_on)
    outcome = result.outcome
    if is_check and result.problem is None:
        outcome = _judged(result, fail_on)
    code = exit_codes.EXIT_CODES[outcome]
    return Ended(target, code, result, result.problem, took_s, fail_on=fail_on)


def _judged(result: Result, fail_on: FailOn) -> Outcome:
    """Decide by the user's bar; an outcome that says more than good or bad stays."""
    if result.outcome not in (Outcome.OK, Outcome.UNHEALTHY):
        return result.outcome
    is_bad = worst((result.status, Status(fail_on))) is result.status
    return Outcome.UNHEALTHY if is_bad else Outcome.OK


def failed(target: str, error: DbopsError, *, took_s: float | None = None) -> Ended:
    """Return the end of an operation that raised on purpose."""
    code = exit_codes.EXIT_CODES[error.outcome]
    return Ended(target, code, problem=Problem.of(error), took_s=took_s)


def bug(target: str, error: Exception, *, verbose: bool) -> Ended:
    """Report a defect of ours: its class and place, never its values."""
    if verbose:
        traceback.print_exception(error, file=sys.stderr)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    problem = Problem(
        type="Bug",
        message=f"this is a bug in dbops: {type(error).__name__} at {where}",
        hint="please report it" + ("" if verbose else "; -v shows the trace"),
        outcome=Outcome.UNHEALTHY,
    )
    return Ended(target, exit_codes.BUG, problem=problem)


def lost(target: str, how: str, *, took_s: float) -> Ended:
    """Return the end of a target whose process died under it."""
    problem = Problem(
        type="ProcessLost",
        message=f"the process that worked on it {how}; what it kept is unknown",
        hint="look at the target's state (see: dbops status), then repeat it",
        retryable=True,
        outcome=Outcome.UNHEALTHY,
    )
    return Ended(target, exit_codes.BUG, problem=problem, took_s=took_s)


def skipped(target: str, why: str, *, exit_code: int) -> Ended:
    """Return the end of a target that was never begun."""
    problem = Problem(
        type=SKIPPED,
        message=f"not begun: {why}",
        hint="its state is unknown; --resume REPORT goes on where this ended",
        retryable=True,
        outcome=Outcome.PARTIAL,
    )
    return Ended(target, exit_code, problem=problem)
