"""What a check of the lag answers about one reader."""

from datetime import datetime

from dbops.operations.lag.kinds import Cause, Freshness, Pipeline
from dbops.results import Model, Status


class Node(Model):
    """One server."""

    host: str
    """The host that answered."""
    port: int | None
    """Its port; null where only another server knows of it."""
    is_in_recovery: bool | None
    """True for a standby; null when it did not answer."""
    instance: str | None = None
    """Which instance answered, in its own words: its address, or Aurora's name for it;
    behind one host name there may be several."""
    upstream: str | None = None
    """From where it receives; null for a writer, and where that is hidden."""

    @property
    def address(self) -> str:
        """Host and port, as far as they are known."""
        return self.host if self.port is None else f"{self.host}:{self.port}"


class Answer(Model):
    """What is known of one reader."""

    status: Status
    """The worse of freshness and pipeline."""
    freshness: Freshness
    """How old the reader's data are."""
    freshness_status: Status = Status.UNKNOWN
    """The verdict over that alone."""
    pipeline: Pipeline
    """Whether changes flow."""
    pipeline_status: Status = Status.UNKNOWN
    """The verdict over that alone."""
    cause: Cause | None = None
    """Why not; null when nothing is wrong."""
    summary: str
    """One sentence for a person."""
    remedy: str | None = None
    """What to do, where something general helps."""
    lag_low_s: float | None = None
    """The reader is at least this many seconds behind; null when that is unknown."""
    lag_high_s: float | None = None
    """And at most this many; null when there is no bound."""
    bytes_behind: int | None = None
    """WAL of the writer that the reader had not replayed; null when unknown. Of a fresh
    reader, how much it lacked when it was first asked."""
    waited_s: float | None = None
    """How long the token was waited for."""
    as_of: datetime | None = None
    """When the bounds held; null where there are none."""
    requires: str | None = None
    """What would let dbops know more; null when it knows all."""
    reader: Node
    """The reader."""
