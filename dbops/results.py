"""The vocabulary that every result shares: status, grade, problem, measure."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import override

from dbops.errors import DbopsError, Outcome


class Status(StrEnum):
    """A health verdict."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


# Not knowing is worse than a warning and better than a known failure.
_SEVERITY = (Status.OK, Status.WARN, Status.UNKNOWN, Status.FAIL)


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst of `statuses` (fail > unknown > warn > ok); ok for none."""
    return max(statuses, key=_SEVERITY.index, default=Status.OK)


def grade(value: float | None, *, warn: float, fail: float) -> Status:
    """Judge `value` against two thresholds of the same unit; None is unknown."""
    if value is None:
        return Status.UNKNOWN
    if value >= fail:
        return Status.FAIL
    return Status.WARN if value >= warn else Status.OK


class Model(BaseModel):
    """A frozen part of a result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    @override
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe each field by its docstring, like use_attribute_docstrings.

        That reads the source of every model at import, which a probe would pay for;
        this reads it when somebody wants the schema.
        """
        schema = handler(core_schema)
        fields = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in _field_docstrings(cls).items():
            if name in fields:
                fields[name].setdefault("description", text)
        return schema


def _field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the string that follows each field in the source of a class."""
    import ast  # noqa: PLC0415 # only for a schema
    import inspect  # noqa: PLC0415 # same

    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if not issubclass(cls, Model):
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(body, ast.ClassDef)  # what getsource returned  # noqa: S101
        for field, text in pairwise(body.body):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str() as docstring)),
                ):
                    found[name] = inspect.cleandoc(docstring)
                case _:
                    pass
    return found


class Problem(Model):
    """An error as data: what stands under `error` in the JSON document."""

    type: str
    """The class of the error, such as `UnreachableError`."""

    message: str
    """One sentence."""

    hint: str | None = None
    """What to do about it."""

    phase: str | None = None
    """Where it happened, such as `connect` or `auth`."""

    sqlstate: str | None = None
    """The server's five-character code; null when no server spoke."""

    retryable: bool = False
    """Whether the same call may succeed later."""

    outcome: Outcome
    """The name of the exit code that this problem leads to."""

    @classmethod
    def of(cls, error: DbopsError) -> Self:
        """Describe `error`."""
        return cls(
            type=type(error).__name__,
            message=error.message,
            hint=error.hint,
            phase=error.phase,
            sqlstate=error.sqlstate,
            retryable=error.retryable,
            outcome=error.outcome,
        )


class Measure(NamedTuple):
    """One number of a result, as monitoring systems take it."""

    name: str
    """In snake case and without its unit, such as `lag_low`."""
    value: float | None
    """None is unknown."""
    unit: Literal["s", "B", "%", ""] = ""
    """Seconds, bytes, a share of a hundred, or a count."""
    labels: Mapping[str, str] = {}
    """What tells it from others of its name, such as `role`."""
    warn: float | None = None
    """From where on it is worth a warning; None for never."""
    fail: float | None = None
    """From where on it fails; None for never."""
    about: str = ""
    """What it says, in one sentence."""


class Checked(NamedTuple):
    """One question of a result and its verdict."""

    id: str
    """A short name that stays, such as `lag` or `D20`."""
    title: str
    """What was asked, for a person."""
    status: Status
    """The verdict."""
    summary: str
    """One sentence."""
    details: Sequence[str] = ()
    """A sentence for each finding."""
    is_skipped: bool = False
    """Whether it was not asked; the summary says why."""


def _of_all(asked: Sequence[Checked]) -> str:
    bad = [it for it in asked if it.status is not Status.OK]
    if not bad:
        return f"all of {len(asked)} questions have good answers"
    first = max(bad, key=lambda it: _SEVERITY.index(it.status))
    others = ", ".join(f"{it.id} {it.status}" for it in bad if it is not first)
    said = f"{len(bad)} of {len(asked)} questions have no good answer"
    also = f"; also {others}" if others else ""
    return f"{said}: {first.id}: {first.summary}{also}"


class Result(Model):
    """What an operation answers: facts and one status."""

    status: Status = Status.OK
    """The verdict over the facts below."""

    @property
    def problem(self) -> Problem | None:
        """What kept the answer from being whole; None when nothing did."""
        return None

    def checked(self) -> Sequence[Checked]:
        """Return the questions that it answers; none where it is no check."""
        return ()

    def measures(self) -> Sequence[Measure]:
        """Return its numbers; none where it has none."""
        return ()

    def headline(self) -> str:
        """Return one sentence that says it all: its `summary` where it has one."""
        said = getattr(self, "summary", None)
        if isinstance(said, str):
            return said
        asked = [it for it in self.checked() if not it.is_skipped]
        if len(asked) == 1:
            return asked[0].summary
        if not asked:
            problem = self.problem
            return problem.message if problem else f"the status is {self.status}"
        return _of_all(asked)

    @property
    def outcome(self) -> Outcome:
        """The name of the exit code that this result leads to."""
        if self.problem is not None:
            return self.problem.outcome
        if self.status in (Status.OK, Status.WARN):
            return Outcome.OK
        return Outcome.UNHEALTHY
