"""What a check of the lag answers."""

from enum import StrEnum

from typing_extensions import override

from dbops.results import Model, Problem, Result


class Freshness(StrEnum):
    """How old the reader's data are."""

    FRESH = "fresh"
    TRANSPORT_BEHIND = "transport_behind"
    APPLY_BEHIND = "apply_behind"
    NOT_APPLICABLE = "not_applicable"
    UNKNOWN = "unknown"


class Pipeline(StrEnum):
    """Whether changes flow to the reader, however fresh it is now."""

    STREAMING = "streaming"
    PAUSED = "paused"
    NO_RECEIVER = "no_receiver"
    NOT_STREAMING = "not_streaming"
    SILENT = "silent"
    BROKEN = "broken"
    NOT_APPLICABLE = "not_applicable"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """Why it is not as it should be."""

    WRONG_CLUSTER = "wrong_cluster"
    READER_IS_WRITER = "reader_is_writer"
    SPLIT_BRAIN = "split_brain"
    TIMELINE_DIVERGED = "timeline_diverged"
    READER_UNREACHABLE = "reader_unreachable"
    REPLAY_PAUSED = "replay_paused"
    APPLY_DELAY = "apply_delay"
    RECOVERY_CONFLICT = "recovery_conflict"
    RECEIVER_DOWN = "receiver_down"
    SLOW_APPLY = "slow_apply"
    SLOW_TRANSPORT = "slow_transport"


class Node(Model):
    """One of the two servers."""

    host: str
    """The host that answered."""
    port: int
    """Its port."""
    is_in_recovery: bool | None
    """True for a standby; null when it did not answer."""


class Lag(Result):
    """Freshness and pipeline, graded apart; the status is the worse of both."""

    freshness: Freshness
    """How old the reader's data are."""
    pipeline: Pipeline
    """Whether changes flow."""
    cause: Cause | None = None
    """Why not; null when nothing is wrong."""
    summary: str
    """One sentence for a person."""
    lag_low_s: float | None = None
    """The reader is at least this many seconds behind; null when that is unknown."""
    lag_high_s: float | None = None
    """And at most this many; null when there is no bound."""
    bytes_behind: int | None = None
    """WAL that the reader has not replayed; null when unknown."""
    waited_s: float | None = None
    """How long the token was waited for."""
    requires: str | None = None
    """What would let dbops know more; null when it knows all."""
    reader: Node
    """The reader."""
    writer: Node
    """The writer."""
    error: Problem | None = None
    """Why the reader gave no answer; null when it did."""

    @property
    @override
    def problem(self) -> Problem | None:
        return self.error
