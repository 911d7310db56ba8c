"""What is a check?

A module in `checks` asks one question. It holds its SQL with the manual's page, one
coroutine that asks and judges, and `CHECK`, which says the rest. The coroutine

- returns `Found` with a summary, also where nothing is wrong;
- raises `NotApplicableError` where there is nothing to ask;
- raises `UndecidedError` where it may not look or cannot know: never silence;
- lets a `DbopsError` through: it becomes an unknown with the error's own words.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.servers import Cluster, Server
from dbops.results import Status

Limits = Mapping[str, Limit]
"""A measure's name → its thresholds; most checks have one, called `value`."""


class Found(NamedTuple):
    """What a check has seen."""

    summary: str
    """One sentence, also where all is well."""
    findings: tuple[Finding, ...] = ()
    """What is wrong."""
    notes: tuple[str, ...] = ()
    """What is worth knowing."""
    requires: str | None = None
    """What would have shown more; beside a finding that is unknown."""


class NotApplicableError(Exception):
    """There is nothing to ask; the message says why."""


class UndecidedError(Exception):
    """The check cannot know.

    Args:
        message: Why not, in one sentence.
        requires: What would let it decide, such as a GRANT.
    """

    def __init__(self, message: str, *, requires: str | None = None) -> None:
        super().__init__(message)
        self.requires = requires


@dataclass(frozen=True, kw_only=True)
class Check:
    """A question to one server or to all."""

    id: str
    """Such as `D20`; it never changes its meaning."""
    title: str
    """Two or three words, in lower case."""
    question: str
    """One sentence that ends in a question mark."""
    scope: Literal["cluster", "database"] = "cluster"
    """Whether every database of a server gives the same answer."""
    limits: Limits = field(default_factory=dict)
    """Its thresholds, which `--limit ID=WARN,FAIL` (or ID.NAME=…) changes."""
    role: str | None = None
    """The predefined role without which the answer would be wrong."""
    since: int = 14
    """The oldest major version that has what is asked."""
    on_aurora: bool = True
    """Whether Aurora answers; it refuses all that is about WAL."""
    is_opt_in: bool = False
    """Whether it runs only when `--only` names it."""


@dataclass(frozen=True, kw_only=True)
class ServerCheck(Check):
    """A question that is asked of one server, or of each."""

    on: Literal["writer", "reader", "each"]
    """Whom to ask; `each` means writer and reader, whichever is there."""
    find: Callable[[Server, Limits], Awaitable[Found]]
    """Asks and judges."""


@dataclass(frozen=True, kw_only=True)
class ClusterCheck(Check):
    """A question that needs more than one server, or something besides them."""

    find: Callable[[Cluster, Limits], Awaitable[Found]]
    """Asks and judges; a server that gives no answer is None there."""


def severity(status: Status) -> Severity:
    """Return how bad a finding is whose value was graded."""
    return Severity.INFO if status is Status.OK else Severity(status.value)
