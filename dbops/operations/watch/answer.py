"""What was seen at one instant; null stands for what is not known."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from typing_extensions import override

from dbops.operations.doctor.answer import Role, Severity
from dbops.results import Model, Problem, Result, Status


class State(StrEnum):
    """Whether a server answers."""

    UP = "up"
    LATE = "late"
    """It has been asked and has not answered yet."""
    AWAY = "away"
    """It cannot be asked; the error says why."""


class Connections(Model):
    """Client connections against what the server allows, our own included."""

    in_use: int
    """How many there are."""
    usable: int
    """How many there may be, without those kept for superusers and the like."""
    by_state: Mapping[str, int] | None
    """`active`, `idle`, …: how many; null where others' states are hidden."""


class Transaction(Model):
    """An open transaction of a client."""

    pid: int
    """Its server process."""
    age_s: float
    """How long it has been open."""
    state: str | None
    """`active`, `idle in transaction`, …"""
    wait: str | None
    """What it waits for, such as `Lock`; null when it waits for nothing."""
    user: str | None
    """Who."""
    database: str | None
    """Where."""
    application: str
    """Its application_name."""
    statement: str | None
    """The last statement up to its first literal, which may be a secret."""


class Wait(Model):
    """Somebody who waits for a lock, and one of those who hold it up."""

    pid: int
    """Who waits."""
    application: str
    """Its application_name."""
    waited_s: float | None
    """How long; null in the first moment."""
    mode: str
    """The lock that it wants, such as `AccessExclusiveLock`."""
    object: str
    """On what; a table's name where it is one of this database."""
    blocked_by: int
    """The process that holds it up; 0 is a prepared transaction."""
    blocker_application: str
    """Its application_name."""
    blocker_state: str | None
    """Such as `idle in transaction`; null where that is hidden."""
    blocker_age_s: float | None
    """How long its transaction has been open; null where that is hidden."""


class SampledServer(Model):
    """One server."""

    role: Role
    """As what it is configured."""
    status: Status
    """Whether it answers, has its role, and has connections left."""
    state: State
    """Whether it answers."""
    since: datetime | None = None
    """Since when it does not; null while it does."""
    host: str | None = None
    """The host that answered last."""
    port: int | None = None
    """Its port."""
    server_version: str | None = None
    """Such as `18.6`."""
    is_in_recovery: bool | None = None
    """True for a standby."""
    latency_ms: float | None = None
    """One round trip with an empty query over the open connection."""
    connections: Connections | None = None
    """How many there are."""
    transactions: tuple[Transaction, ...] | None = None
    """The longest ones, the oldest first; without the privilege only our own."""
    waits: tuple[Wait, ...] | None = None
    """Who waits for whom, the longest first."""
    requires: str | None = None
    """The GRANT that would show what is hidden; null when nothing is."""
    note: str | None = None
    """What is wrong although it answers."""
    error: Problem | None = None
    """Why it cannot be asked."""


class SampledLag(Model):
    """How old the reader's data are, and whether changes flow."""

    status: Status
    """The worse of both."""
    low_s: float | None = None
    """The reader is at least this far behind; null when that is unknown."""
    high_s: float | None = None
    """And at most this far; null when there is no bound."""
    bytes_behind: int | None = None
    """WAL that the reader has not replayed; null when unknown."""
    summary: str
    """One sentence."""
    requires: str | None = None
    """The GRANT that would show what is hidden; null when nothing is."""


class SampledFinding(Model):
    """What one or more of the doctor's checks found."""

    ids: tuple[str, ...]
    """The checks, such as `D20`."""
    severity: Severity
    """How bad it is."""
    object: str
    """What it is about."""
    message: str
    """What is wrong."""
    remedy: str | None
    """What to do about it; null when nothing general helps."""


class Checkup(Model):
    """The doctor's last visit."""

    asked_at: datetime
    """When it ended."""
    status: Status
    """The worst of its checks."""
    counts: Mapping[str, int]
    """How many checks are ok, warn, fail, unknown, and how many do not apply."""
    findings: tuple[SampledFinding, ...]
    """The worst ones, the worst first."""


class Sample(Result):
    """Writer and reader at one instant; the doctor's verdict stands by itself."""

    sampled_at: datetime
    """When, in UTC."""
    servers: tuple[SampledServer, ...]
    """The writer first."""
    lag: SampledLag | None = None
    """The reader's; null where there is no reader."""
    doctor: Checkup | None = None
    """Null before its first visit has ended."""

    @property
    @override
    def problem(self) -> Problem | None:
        """What the first server that is away says."""
        return next((it.error for it in self.servers if it.error is not None), None)
