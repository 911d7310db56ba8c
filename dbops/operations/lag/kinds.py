"""The words for how fresh a reader is, how changes flow, and why not."""

from enum import StrEnum


class Freshness(StrEnum):
    """How old the reader's data are."""

    FRESH = "fresh"
    TRANSPORT_BEHIND = "transport_behind"
    APPLY_BEHIND = "apply_behind"
    AS_UPSTREAM = "as_upstream"
    """As fresh as the server that it receives from; no writer was there to compare."""
    NOT_APPLICABLE = "not_applicable"
    UNKNOWN = "unknown"


class Pipeline(StrEnum):
    """Whether changes flow to the reader, however fresh it is now."""

    STREAMING = "streaming"
    ARCHIVE = "archive"
    """By files of an archive, and by nothing else, as it is configured."""
    DELAYED = "delayed"
    PAUSED = "paused"
    NO_RECEIVER = "no_receiver"
    NOT_STREAMING = "not_streaming"
    SILENT = "silent"
    BROKEN = "broken"
    NOT_APPLICABLE = "not_applicable"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """Why it is not as it should be."""

    WRITER_IS_STANDBY = "writer_is_standby"
    WRITER_UNREACHABLE = "writer_unreachable"
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
